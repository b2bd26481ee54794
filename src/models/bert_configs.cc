#include "models/bert_configs.h"

#include <vector>

#include "models/folder_files.h"

namespace fovea::models::detail {

BertConfig parse_hf_bert(const Section& section) {
  BertConfig config;
  section.require("position_embedding_type", "absolute");
  for (const char* key : {"is_decoder", "add_cross_attention"}) section.refuse(key);
  section.read("vocab_size", config.vocabulary);
  section.read("max_position_embeddings", config.context);
  section.read("type_vocab_size", config.token_types);
  config.transformer = hf_transformer(section, config.transformer);
  config.dropout = section.get("hidden_dropout_prob", 0.1);
  const bool no_padding = section.json.contains("pad_token_id") && section.json["pad_token_id"].is_null();
  config.padding_token = no_padding ? -1 : section.get("pad_token_id", std::int64_t{0}, token_ids);
  return config;
}

ConfigJson to_hf_bert(const BertConfig& config, const char* model_type) {
  FOVEA_CHECK(config.transformer.attention == ops::AttentionKind::full,
              "[export] Hugging Face's BertModel has no attention but the full one");
  ConfigJson json = hf_transformer_json(config.transformer, model_type);
  json["vocab_size"] = config.vocabulary;
  json["max_position_embeddings"] = config.context;
  json["type_vocab_size"] = config.token_types;
  json["hidden_dropout_prob"] = config.dropout;
  json["attention_probs_dropout_prob"] = 0.0;
  json["pad_token_id"] = config.padding_token < 0 ? ConfigJson() : ConfigJson(config.padding_token);
  return json;
}

void rename_early_bert(io::TensorMap& file) {
  for (const auto& [early, today] :
       {std::pair{".LayerNorm.gamma", ".LayerNorm.weight"}, std::pair{".LayerNorm.beta", ".LayerNorm.bias"}}) {
    std::vector<std::string> found;
    for (const auto& [name, tensor] : file) {
      if (name.ends_with(early)) found.push_back(name);
    }
    for (const std::string& name : found) {
      auto entry = file.extract(name);
      entry.key() = name.substr(0, name.size() - std::string(early).size()) + today;
      file.insert(std::move(entry));
    }
  }
}

void write_bert_tokenizer(const std::string& folder, const text::Tokenizer& tokenizer, std::int64_t context) {
  tokenizer.save(folder + "/tokenizer.json");
  ConfigJson config{{"tokenizer_class", "PreTrainedTokenizerFast"}, {"model_max_length", context}};
  for (const auto& [role, token] :
       {std::pair{"cls_token", "[CLS]"}, std::pair{"sep_token", "[SEP]"}, std::pair{"pad_token", "[PAD]"},
        std::pair{"mask_token", "[MASK]"}, std::pair{"unk_token", "[UNK]"}}) {
    if (tokenizer.id_of(token) >= 0) config[role] = token;
  }
  write_json(folder + "/tokenizer_config.json", config);
}

}  // namespace fovea::models::detail
