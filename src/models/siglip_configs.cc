#include "models/clip_configs.h"

namespace fovea::models::detail {
namespace {

// What SiglipVisionConfig and SiglipTextConfig say where a file does not.
constexpr nn::TransformerConfig published{768, 12, 12, 3072, Activation::gelu_tanh, ops::AttentionKind::full, 1e-6};

ConfigJson transformer_json(const nn::TransformerConfig& c, const char* model_type) {
  ConfigJson json = hf_transformer_json(c, model_type);
  json["attention_dropout"] = 0.0;
  return json;
}

bool is_plain(const nn::TransformerConfig& c) { return c.attention == ops::AttentionKind::full && c.layer_scale <= 0; }

}  // namespace

ClipConfig parse_hf_siglip_config(const ConfigJson& json, const std::string& file) {
  const Section whole(json, {"[model] " + file + ": ", ""});
  const Section vision = hf_section(json, whole.place, "vision_config");
  const Section text = hf_section(json, whole.place, "text_config");

  VisionTransformerConfig image;
  vision.require("num_channels", 3);
  vision.require("vision_use_head", true);
  image.image_size = vision.square("image_size", 224);
  image.patch_size = vision.square("patch_size", 16);
  image.transformer = hf_transformer(vision, published);
  image.class_token = image.pre_norm = false;
  image.patch_bias = image.map_head = true;

  TextTransformerConfig words;
  words.vocabulary = text.get("vocab_size", std::int64_t{32000});
  words.context = text.get("max_position_embeddings", std::int64_t{64});
  words.transformer = hf_transformer(text, published);
  words.pool = TextPool::last;
  words.pad_token = text.get("pad_token_id", std::int64_t{1}, token_ids);
  words.head = true;
  words.embed = text.get("projection_size", words.transformer.width);
  return {image, words, words.embed, Similarity::scale_and_bias};
}

ConfigJson to_hf_siglip_config(const ClipConfig& config) {
  const std::string whose = "Hugging Face's SiglipModel";
  const auto& image = tower_of<VisionTransformerConfig>(config.image, whose, "image tower but the vit");
  const auto& text = tower_of<TextTransformerConfig>(config.text, whose, "text tower but the transformer");
  if (!image.map_head || image.pre_norm || !image.patch_bias || !is_plain(image.transformer))
    refuse_export(whose, "vit without map_head or patch_bias, or with pre_norm or layer_scale");
  if (!text.head || text.pool != TextPool::last || !is_plain(text.transformer))
    refuse_export(whose, "text tower without a head, with another pool than the last, causal or with a layer_scale");

  ConfigJson vision = transformer_json(image.transformer, "siglip_vision_model");
  vision["image_size"] = image.image_size;
  vision["patch_size"] = image.patch_size;
  vision["num_channels"] = 3;
  ConfigJson words = transformer_json(text.transformer, "siglip_text_model");
  words["vocab_size"] = text.vocabulary;
  words["max_position_embeddings"] = text.context;
  words["projection_size"] = text.embed;
  if (text.pad_token) words["pad_token_id"] = *text.pad_token;
  return {{"architectures", ConfigJson::array({"SiglipModel"})},
          {"model_type", "siglip"},
          {"text_config", words},
          {"vision_config", vision}};
}

}  // namespace fovea::models::detail
