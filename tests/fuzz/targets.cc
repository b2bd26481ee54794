#include "targets.h"

#include <cstdint>
#include <span>
#include <string>

#include "fovea/core/allocator.h"
#include "fovea/core/error.h"
#include "fovea/data/table.h"
#include "fovea/image/decode.h"
#include "fovea/io/npy.h"
#include "fovea/io/safetensors.h"
#include "fovea/io/torch_file.h"
#include "fovea/text/tokenizer.h"
#include "fovea/train/config.h"

namespace fovea::fuzz {
namespace {

// Small, so that a few bytes do not ask for seconds of decoding.
constexpr std::int64_t max_pixels = 1 << 18;

template <class F>
void catch_errors(F&& f) {
  try {
    f();
  } catch (const Error&) {
  }
}

// Gives the tensors' memory back, so that the sanitizer and the fuzzer's limit see what each input takes.
struct ReleaseMemory {
  ~ReleaseMemory() { allocator::release_cached(); }
};

// Touches the first and the last element, which a sanitizer checks.
void touch(const Tensor& tensor) {
  if (tensor.numel() > 0) static_cast<void>(tensor.at(0) + tensor.at(tensor.numel() - 1));
}

void must(bool holds) {
  if (!holds) __builtin_trap();
}

}  // namespace

void image(std::string_view bytes) {
  const std::span data(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  catch_errors([&] { image::decode(data, "fuzz", {.max_pixels = max_pixels}); });
  catch_errors([&] { image::decode(data, "fuzz", {.max_pixels = max_pixels, .reduction = 4}); });
}

void safetensors(std::string_view bytes) {
  const ReleaseMemory release;
  catch_errors([&] {
    for (const auto& [name, tensor] : io::parse_safetensors(bytes)) touch(tensor);
  });
}

void torch_file(std::string_view bytes) {
  const ReleaseMemory release;
  catch_errors([&] {
    for (const auto& [name, tensor] : io::parse_torch(bytes)) touch(tensor);
  });
}

void npy(std::string_view bytes) {
  const ReleaseMemory release;
  catch_errors([&] { touch(io::parse_npy(bytes)); });
}

void table(std::string_view bytes) {
  for (const char* name : {"x.tsv", "x.csv", "x.jsonl"}) {
    catch_errors([&] {
      const data::Table table = data::Table::parse(std::string(bytes), name);
      for (std::int64_t row = 0; row < table.rows(); ++row) {
        table.place(row);
        for (std::size_t c = 0; c < table.columns().size(); ++c) {
          const auto column = static_cast<std::int64_t>(c);
          const auto values = table.values(row, column);
          must(table.cell(row, column) == (values.empty() ? std::string_view() : values.front()));
        }
      }
      if (table.columns().size() > 0) table.column(table.columns()[0]);
    });
  }
}

void config(std::string_view bytes) {
  catch_errors([&] {
    const std::string text = train::dump_config(train::parse_config(bytes));
    must(train::dump_config(train::parse_config(text)) == text);
  });
  catch_errors([&] {
    train::Config changed;
    train::apply_set(changed, bytes);
    train::parse_config(train::dump_config(changed));
  });
}

// Encodes texts that take every way through a pipeline, and decodes.
static void use(const text::Tokenizer& tokenizer) {
  constexpr std::string_view texts[]{"",
                                     "A photo of 2 dogs, isn't it?",
                                     " \n\t ",
                                     "\u4f60\u597d \u00e9\u0301 \U0001F600\u200d",
                                     "\xff\xfe broken \xe2\x82",
                                     "<|endoftext|>[MASK]</w>##ing\u2581x"};
  for (const std::string_view text : texts) {
    catch_errors([&] { tokenizer.decode(tokenizer.encode(text)); });
    catch_errors([&] { must(tokenizer.encode(text, 8).size() <= 8); });
  }
}

void tokenizer_json(std::string_view bytes) {
  catch_errors([&] { use(text::Tokenizer::parse(bytes, "fuzz")); });
}

void sentence_piece(std::string_view bytes) {
  catch_errors([&] { use(text::Tokenizer::parse_sentence_piece(bytes, "fuzz")); });
  catch_errors([&] { use(text::Tokenizer::parse_sentence_piece(bytes, "fuzz", {true, true, true})); });
}

}  // namespace fovea::fuzz
