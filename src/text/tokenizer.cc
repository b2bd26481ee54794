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
#include "text/sentence_piece_pipeline.h"
#include "text/tokenizer_json.h"

namespace fovea::text {
namespace {

using detail::PostProcessor;

bool exists(const std::string& path) {
  std::error_code unknown;
  return std::filesystem::exists(path, unknown);
}

// A folder's tokenizer_config.json.
class ConfigFile {
 public:
  explicit ConfigFile(const std::string& folder) : path_(folder + "/tokenizer_config.json") {
    if (exists(path_)) json_ = io::detail::parse_json<nlohmann::json>(io::read_file(path_), "[tokenizer] " + path_);
    if (!json_.is_object()) json_ = nlohmann::json::object();
  }
  bool flag(const char* key, bool otherwise) const {
    if (!json_.contains(key) || json_[key].is_null()) return otherwise;
    FOVEA_CHECK(json_[key].is_boolean(), "[tokenizer] ", path_, ": ", key, " is ", json_[key].dump(),
                ", expected true or false");
    return json_[key].get<bool>();
  }
  // The name of the class that reads the folder, without the "Fast" of its second implementation.
  std::string class_name() const {
    if (!json_.contains("tokenizer_class") || !json_["tokenizer_class"].is_string()) return "";
    auto name = json_["tokenizer_class"].get<std::string>();
    if (name.ends_with("Fast")) name.resize(name.size() - 4);
    return name;
  }

 private:
  std::string path_;
  nlohmann::json json_ = nlohmann::json::object();
};

SentencePieceOptions sentence_piece_options(const ConfigFile& config) {
  const std::string name = config.class_name();
  if (name == "SiglipTokenizer") return {false, true, true};
  if (name == "T5Tokenizer") return {false, true, false};
  const bool llama = name == "LlamaTokenizer" || name == "CodeLlamaTokenizer";
  return {config.flag("add_bos_token", llama), config.flag("add_eos_token", false), false};
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
  if (!std::filesystem::is_directory(path, unknown))
    return path.ends_with(".model") ? load_sentence_piece(path) : parse(io::read_file(path), path);
  const auto in_folder = [&](const char* name) { return path + "/" + name; };
  if (exists(in_folder("tokenizer.json"))) return load(in_folder("tokenizer.json"));
  if (exists(in_folder("bpe_simple_vocab_16e6.txt"))) return load_merges(in_folder("bpe_simple_vocab_16e6.txt"));
  if (exists(in_folder("merges.txt"))) return Tokenizer(load_gpt2(path));
  const ConfigFile config(path);
  // Whether BERT's words are in lower case, the vocabulary alone does not say.
  if (const std::string words = in_folder("vocab.txt"); exists(words))
    return Tokenizer(detail::bert_pipeline(io::read_file(words), config.flag("do_lower_case", true), words));
  for (const char* name : {"spiece.model", "sentencepiece.bpe.model", "tokenizer.model"}) {
    if (exists(in_folder(name))) return load_sentence_piece(in_folder(name), sentence_piece_options(config));
  }
  fail(
      "[tokenizer] ", path,
      " holds no tokenizer, expected tokenizer.json, bpe_simple_vocab_16e6.txt, merges.txt, vocab.txt or spiece.model");
}

Tokenizer Tokenizer::parse(std::string_view json, const std::string& source) {
  return Tokenizer(detail::parse_tokenizer_json(json, source));
}

Tokenizer Tokenizer::load_merges(const std::string& path, std::int64_t vocabulary_size) {
  const auto merges = detail::parse_merges(io::read_file(path), vocabulary_size, path);
  return Tokenizer(detail::clip_pipeline(merges, detail::open_clip_kind));
}

Tokenizer Tokenizer::load_sentence_piece(const std::string& path, const SentencePieceOptions& options) {
  return parse_sentence_piece(io::read_file(path), path, options);
}

Tokenizer Tokenizer::parse_sentence_piece(std::string_view bytes, const std::string& source,
                                          const SentencePieceOptions& options) {
  return Tokenizer(detail::sentence_piece_pipeline(std::string(bytes), options, source));
}

void Tokenizer::save(const std::string& path) const { io::write_file(path, detail::to_tokenizer_json(*pipeline_)); }

std::string Tokenizer::merges_text() const {
  const auto* model = std::get_if<detail::BpeModel>(&pipeline_->parts().model);
  FOVEA_CHECK(model, "[tokenizer] the model has no merges: it is not byte-pair encoding");
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
