#include "fovea/text/caption_words.h"

#include <algorithm>
#include <array>

#include "fovea/text/clean.h"
#include "text/unicode.h"

namespace fovea::text {
namespace {

// What an ASCII character becomes in a word: itself in lower case, 0 where it ends the word, 1 where it only stays
// between others.
constexpr std::array<char, 128> ascii_table() {
  std::array<char, 128> table{};
  for (int c = 0; c < 128; ++c) {
    const bool space = c == ' ' || (c >= '\t' && c <= '\r');
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z');
    const bool upper = c >= 'A' && c <= 'Z';
    table[static_cast<std::size_t>(c)] = static_cast<char>(space ? 0 : plain ? c : upper ? c + 0x20 : 1);
  }
  return table;
}
constexpr auto ascii = ascii_table();

// Words are put together at the end of `out`; what may still be dropped at a word's end is behind `kept`.
class WordWriter {
 public:
  explicit WordWriter(std::string& out) : out_(out), start_(out.size()), kept_(out.size()) {}

  void add(std::string_view character) {
    begin_word();
    out_ += character;
    kept_ = out_.size();
  }
  void add_between(std::string_view character) {
    if (in_word_) out_ += character;
  }
  void end_word() {
    out_.resize(kept_);
    in_word_ = false;
  }
  std::int64_t words() const { return words_; }

 private:
  void begin_word() {
    if (in_word_) return;
    if (out_.size() > start_) out_ += ' ';
    in_word_ = true;
    ++words_;
  }

  std::string& out_;
  std::size_t start_, kept_;
  bool in_word_ = false;
  std::int64_t words_ = 0;
};

// Whether all is ASCII without anything that HTML would turn into something else.
bool is_plain(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80 && c != '&'; });
}

std::int64_t append_plain(std::string_view text, std::string& out) {
  out.reserve(out.size() + text.size());
  WordWriter writer(out);
  for (const char& c : text) {
    const char value = ascii[static_cast<unsigned char>(c)];
    if (value > 1) {
      writer.add({&value, 1});
    } else if (value == 1) {
      writer.add_between({&c, 1});
    } else {
      writer.end_word();
    }
  }
  writer.end_word();
  return writer.words();
}

// Han, Hiragana and Katakana: characters that are words, or close to it.
bool stands_alone(std::int32_t c) {
  return (c >= 0x3041 && c <= 0x30FF && c != 0x30FB) || (c >= 0x31F0 && c <= 0x31FF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0xF900 && c <= 0xFAFF) || (c >= 0xFF66 && c <= 0xFF9F) ||
         (c >= 0x20000 && c <= 0x3FFFF);
}

}  // namespace

std::int64_t append_caption_words(std::string_view caption, std::string& out) {
  if (is_plain(caption)) return append_plain(caption, out);
  const std::string cleaned = clean(caption);
  WordWriter writer(out);
  detail::for_each_code_point(cleaned, [&](std::int32_t value, std::string_view bytes) {
    if (detail::is_white_space(value)) {
      writer.end_word();
    } else if (stands_alone(value)) {
      writer.end_word();
      writer.add(bytes);
      writer.end_word();
    } else if (value < 0x80 ? ascii[static_cast<std::size_t>(value)] > 1
                            : detail::is_letter(value) || detail::is_number(value) || detail::is_mark(value)) {
      writer.add(bytes);
    } else {
      writer.add_between(bytes);
    }
  });
  writer.end_word();
  return writer.words();
}

}  // namespace fovea::text
