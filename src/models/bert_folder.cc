#include "fovea/models/bert_folder.h"

#include <algorithm>

#include "fovea/io/file.h"
#include "fovea/models/clip_folder.h"
#include "fovea/models/presets.h"
#include "models/bert_configs.h"
#include "models/folder_files.h"

namespace fovea::models {
namespace {

using Json = detail::ConfigJson;

struct Description {
  BertConfig config;
  bool masked_lm = false;
};

Description read_hf(const Json& json, const std::string& path) {
  const detail::Section section(json, {"[model] " + path + ": ", ""});
  Description found{detail::parse_hf_bert(section)};
  if (section.has("architectures") && !json["architectures"].empty()) {
    const Json& name = json["architectures"].front();
    found.masked_lm = name == "BertForMaskedLM";
    if (!found.masked_lm && name != "BertModel")
      (section.place / "architectures").fail_with(name, "BertModel or BertForMaskedLM");
  }
  if (found.masked_lm) section.require("tie_word_embeddings", true);
  return found;
}

Description read_own(const Json& json, const std::string& path) {
  const detail::Section section(json, {"[model] " + path + ": ", ""});
  if (!section.has("model")) fail("[model] ", path, " has no \"model\"");
  Json model = json["model"];
  Description found;
  try {
    found.config = parse_bert_config(model.dump());
  } catch (const Error& error) {
    fail(error.what(), "\nin ", path);
  }
  section.read("masked_lm", found.masked_lm);
  return found;
}

void remove_prefixed(io::TensorMap& file, std::string_view prefix) {
  std::erase_if(file, [&](const auto& item) { return item.first.starts_with(prefix); });
}

// A file of any class with a BERT in it, as BertModel names its parameters.
void keep_encoder(io::TensorMap& file) {
  constexpr std::string_view prefix = "bert.";
  if (std::none_of(file.begin(), file.end(), [&](const auto& item) { return item.first.starts_with(prefix); })) return;
  io::TensorMap kept;
  for (auto& [name, tensor] : file) {
    if (name.starts_with(prefix)) kept.emplace(name.substr(prefix.size()), std::move(tensor));
  }
  file = std::move(kept);
}

// The same with the head that predicts tokens, as BertForMaskedLM names its parameters.
void keep_masked_lm(io::TensorMap& file) {
  remove_prefixed(file, "bert.pooler.");
  remove_prefixed(file, "cls.seq_relationship.");
  file.erase("cls.predictions.decoder.weight");  // the word vectors once more
  auto bias = file.extract("cls.predictions.decoder.bias");
  if (bias.empty() || file.contains("cls.predictions.bias")) return;
  bias.key() = "cls.predictions.bias";
  file.insert(std::move(bias));
}

AnyBert make_model(const Description& description, DType dtype) {
  nn::Init init = nn::Init::none(dtype);
  if (description.masked_lm) return BertForMaskedLM(description.config, init);
  return Bert(description.config, init);
}

std::vector<nn::ParamEntry> entries_of(const AnyBert& model) {
  return std::visit([](const auto& any) { return nn::collect(any); }, model);
}

const BertConfig& config_of(const AnyBert& model) {
  return std::visit([](const auto& any) -> const BertConfig& { return any.config; }, model);
}

}  // namespace

AnyBert load_bert(const std::string& folder, std::optional<ModelLayout> layout, DType dtype) {
  const auto [found, type] = folder_kind(folder, layout);
  FOVEA_CHECK(type == "bert", "[model] ", folder, "/config.json describes a \"", type, "\", expected a \"bert\"");
  const std::string config_path = folder + "/config.json", path = detail::parameter_file(folder, found);
  const Json json = detail::read_json(config_path);
  Description description = found == ModelLayout::hf ? read_hf(json, config_path) : read_own(json, config_path);
  io::TensorMap file = detail::read_parameters(path);
  if (found == ModelLayout::hf) {
    detail::rename_early_bert(file);
    description.masked_lm ? keep_masked_lm(file) : keep_encoder(file);
    description.config.pooler = file.contains("pooler.dense.weight");
  }
  AnyBert model = make_model(description, dtype);
  nn::load_parameters(path, file, nn::native_tensors(entries_of(model)));
  return model;
}

std::optional<text::Tokenizer> load_bert_tokenizer(const std::string& folder, const AnyBert& model) {
  if (detail::first_of(folder, {"tokenizer.json", "vocab.txt"}).empty()) return {};
  text::Tokenizer tokenizer = text::Tokenizer::load(folder);
  FOVEA_CHECK(tokenizer.vocabulary_size() <= config_of(model).vocabulary, "[model] ", folder, " has ",
              tokenizer.vocabulary_size(), " entries, the model knows ", config_of(model).vocabulary);
  return tokenizer;
}

void export_bert(const std::string& folder, ModelLayout layout, const AnyBert& model, const text::Tokenizer* tokenizer,
                 io::FloatFormat floats) {
  FOVEA_CHECK(layout != ModelLayout::open_clip, "[export] open_clip has no BERT of its own");
  const bool masked_lm = std::holds_alternative<BertForMaskedLM>(model);
  Json config;
  if (layout == ModelLayout::hf) {
    config = detail::to_hf_bert(config_of(model), "bert");
    config["architectures"] = Json::array({masked_lm ? "BertForMaskedLM" : "BertModel"});
    config["tie_word_embeddings"] = true;
  } else {
    config = {{"format", detail::own_format}, {"model", Json::parse(to_json(config_of(model)))}};
    config["masked_lm"] = masked_lm;
  }
  detail::make_folder(folder);
  nn::save_parameters(folder + "/model.safetensors", nn::native_tensors(entries_of(model)), floats);
  if (tokenizer != nullptr && layout == ModelLayout::hf)
    detail::write_bert_tokenizer(folder, *tokenizer, config_of(model).context);
  if (tokenizer != nullptr && layout == ModelLayout::fovea) tokenizer->save(folder + "/tokenizer.json");
  detail::write_json(folder + "/config.json", config);
}

}  // namespace fovea::models
