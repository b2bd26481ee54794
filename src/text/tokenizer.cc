#include "fovea/text/tokenizer.h"

#include <filesystem>
#include <utility>

#include "fovea/core/error.h"
#include "fovea/io/file.h"
#include "io/json.h"
#include "text/default_vocabulary.h"
#include "text/merges_file.h"
#include "text/pipeline.h"
#include "text/published.h"
#include "text/tokenizer_json.h"

namespace fovea::text {
namespace {

using detail::PostProcessor;

bool exists(const std::string& path) {
  std::error_code unknown;
  return std::filesystem::exists(path, unknown);
}

// Whether BERT's words are in lower case; the vocabulary alone does not say.
bool lowers_case(const std::string& config_path) {
  if (!exists(config_path)) return true;
  const auto config = io::detail::parse_json<nlohmann::json>(io::read_file(config_path), "[tokenizer] " + config_path);
  if (!config.is_object() || !config.contains("do_lower_case")) return true;
  const auto& value = config["do_lower_case"];
  FOVEA_CHECK(value.is_boolean(), "[tokenizer] ", config_path, ": do_lower_case is ", value.dump(),
              ", expected true or false");
  return value.get<bool>();
}

detail::Pipeline load_gpt2(const std::string& folder) {
  const std::string merges = folder + "/merges.txt", vocabulary = folder + "/vocab.json";
  const std::string lines = io::read_file(merges);
  if (!exists(vocabulary)) return detail::gpt2_pipeline(lines, std::nullopt, merges);
  return detail::gpt2_pipeline(lines, detail::parse_vocabulary_json(io::read_file(vocabulary), vocabulary), merges);
}

}  // namespace

Tokenizer::Tokenizer(detail::Pipeline pipeline)
    : pipeline_(std::make_shared<const detail::Pipeline>(std::move(pipeline))) {}

Tokenizer::Tokenizer(std::span<const BpeMerge> merges) : Tokenizer(detail::clip_pipeline(merges, detail::clip_kind)) {}

Tokenizer Tokenizer::load(const std::string& path) {
  std::error_code unknown;
  if (!std::filesystem::is_directory(path, unknown)) return parse(io::read_file(path), path);
  const auto in_folder = [&](const char* name) { return path + "/" + name; };
  if (exists(in_folder("tokenizer.json"))) return load(in_folder("tokenizer.json"));
  if (exists(in_folder("bpe_simple_vocab_16e6.txt"))) return load_merges(in_folder("bpe_simple_vocab_16e6.txt"));
  if (exists(in_folder("merges.txt"))) return Tokenizer(load_gpt2(path));
  const std::string words = in_folder("vocab.txt");
  FOVEA_CHECK(exists(words), "[tokenizer] ", path,
              " holds no tokenizer, expected tokenizer.json, bpe_simple_vocab_16e6.txt, merges.txt or vocab.txt");
  return Tokenizer(detail::bert_pipeline(io::read_file(words), lowers_case(in_folder("tokenizer_config.json")), words));
}

Tokenizer Tokenizer::parse(std::string_view json, const std::string& source) {
  return Tokenizer(detail::parse_tokenizer_json(json, source));
}

Tokenizer Tokenizer::load_merges(const std::string& path, std::int64_t vocabulary_size) {
  const auto merges = detail::parse_merges(io::read_file(path), vocabulary_size, path);
  return Tokenizer(detail::clip_pipeline(merges, detail::open_clip_kind));
}

void Tokenizer::save(const std::string& path) const { io::write_file(path, detail::to_tokenizer_json(*pipeline_)); }

std::string Tokenizer::merges_text() const {
  const auto* model = std::get_if<detail::BpeModel>(&pipeline_->parts().model);
  FOVEA_CHECK(model, "[tokenizer] the model has no merges: it is WordPiece");
  std::string text = "#version: 0.2\n";
  for (const auto& [left, right, merged] : model->rules()) {
    text += concat(model->vocabulary().piece(left), " ", model->vocabulary().piece(right), "\n");
  }
  return text;
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text) const { return pipeline_->encode(text); }

std::vector<std::int32_t> Tokenizer::encode(std::string_view text, std::int64_t context_length) const {
  return pipeline_->encode(text, context_length, detail::Direction::right);
}

std::string Tokenizer::decode(std::span<const std::int32_t> ids) const { return pipeline_->decode(ids); }

std::int64_t Tokenizer::vocabulary_size() const { return pipeline_->size(); }

std::int32_t Tokenizer::start_id() const {
  const auto& around = pipeline_->around();
  return around.empty() || around.front() == PostProcessor::text ? -1 : around.front();
}

std::int32_t Tokenizer::end_id() const {
  const auto& around = pipeline_->around();
  return around.empty() || around.back() == PostProcessor::text ? -1 : around.back();
}

std::int32_t Tokenizer::id_of(std::string_view content) const { return pipeline_->id_of(content); }

const Tokenizer& default_tokenizer() {
  static const Tokenizer tokenizer(
      detail::parse_merges(detail::default_merges(), detail::default_vocabulary_size, "default vocabulary"));
  return tokenizer;
}

}  // namespace fovea::text
