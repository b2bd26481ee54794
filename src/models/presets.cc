#include "fovea/models/presets.h"

#include <algorithm>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "fovea/core/suggest.h"

namespace fovea::models {
namespace {

using Json = nlohmann::ordered_json;

// Names of enumerators in JSON.

template <class E>
struct EnumNames;
template <>
struct EnumNames<Activation> {
  static constexpr std::pair<const char*, Activation> values[] = {{"relu", Activation::relu},
                                                                  {"gelu", Activation::gelu},
                                                                  {"gelu_tanh", Activation::gelu_tanh},
                                                                  {"quick_gelu", Activation::quick_gelu},
                                                                  {"silu", Activation::silu}};
};
template <>
struct EnumNames<ops::AttentionKind> {
  static constexpr std::pair<const char*, ops::AttentionKind> values[] = {{"full", ops::AttentionKind::full},
                                                                          {"causal", ops::AttentionKind::causal}};
};
template <>
struct EnumNames<TextPool> {
  static constexpr std::pair<const char*, TextPool> values[] = {
      {"eot", TextPool::eot}, {"last", TextPool::last}, {"first", TextPool::first}, {"mean", TextPool::mean}};
};

// The fields of each configuration, listed once for reading and writing.

void fields(auto& c, auto&& f) requires
    std::is_same_v<std::remove_const_t<std::remove_reference_t<decltype(c)>>, nn::TransformerConfig> {
  f("width", c.width), f("layers", c.layers), f("heads", c.heads), f("hidden", c.hidden);
  f("activation", c.activation), f("attention", c.attention), f("eps", c.eps);
}
void fields(auto& c, auto&& f) requires
    std::is_same_v<std::remove_const_t<std::remove_reference_t<decltype(c)>>, VisionTransformerConfig> {
  f("image_size", c.image_size), f("patch_size", c.patch_size), f("class_token", c.class_token);
  f("pre_norm", c.pre_norm), f("patch_bias", c.patch_bias);
  fields(c.transformer, f);
}
void fields(auto& c, auto&& f) requires
    std::is_same_v<std::remove_const_t<std::remove_reference_t<decltype(c)>>, ModifiedResNetConfig> {
  f("image_size", c.image_size), f("width", c.width), f("blocks", c.blocks);
}
void fields(auto& c,
            auto&& f) requires std::is_same_v<std::remove_const_t<std::remove_reference_t<decltype(c)>>, ResNetConfig> {
  f("image_size", c.image_size), f("stem_kernel", c.stem_kernel), f("channels", c.channels), f("blocks", c.blocks);
}
void fields(auto& c, auto&& f) requires
    std::is_same_v<std::remove_const_t<std::remove_reference_t<decltype(c)>>, TextTransformerConfig> {
  f("vocabulary", c.vocabulary), f("context", c.context), f("pool", c.pool);
  fields(c.transformer, f);
}
void fields(auto& c,
            auto&& f) requires std::is_same_v<std::remove_const_t<std::remove_reference_t<decltype(c)>>, CbowConfig> {
  f("vocabulary", c.vocabulary), f("context", c.context), f("width", c.width), f("special_tokens", c.special_tokens);
}

template <class Config>
constexpr const char* type_name() {
  if constexpr (std::is_same_v<Config, VisionTransformerConfig>) return "vit";
  if constexpr (std::is_same_v<Config, ModifiedResNetConfig>) return "modified_resnet";
  if constexpr (std::is_same_v<Config, ResNetConfig>) return "resnet";
  if constexpr (std::is_same_v<Config, TextTransformerConfig>) return "transformer";
  if constexpr (std::is_same_v<Config, CbowConfig>) return "cbow";
}

// Reading.

template <class T>
void read_value(const Json& json, T& value, const std::string& path) {
  if constexpr (requires { EnumNames<T>::values; }) {
    std::string known;
    for (const auto& [name, enumerator] : EnumNames<T>::values) {
      if (json == name) return void(value = enumerator);
      known += (known.empty() ? "" : ", ") + std::string(name);
    }
    fail("[model] ", path, " is ", json.dump(), ", expected one of ", known);
  } else if constexpr (requires { value.begin(); }) {
    FOVEA_CHECK(json.is_array(), "[model] ", path, " is ", json.dump(), ", expected a list of whole numbers");
    if constexpr (requires { value.push_back({}); }) value.resize(json.size());
    FOVEA_CHECK(json.size() == value.size(), "[model] ", path, " has ", json.size(), " entries, expected ",
                value.size());
    for (std::size_t i = 0; i < value.size(); ++i) read_value(json[i], value[i], path + "." + std::to_string(i));
  } else if constexpr (std::is_same_v<T, bool>) {
    FOVEA_CHECK(json.is_boolean(), "[model] ", path, " is ", json.dump(), ", expected true or false");
    value = json.get<bool>();
  } else if constexpr (std::is_floating_point_v<T>) {
    FOVEA_CHECK(json.is_number(), "[model] ", path, " is ", json.dump(), ", expected a number");
    value = json.get<T>();
  } else {
    // So that the sizes of all tensors fit 64 bits, and what cannot be allocated is refused.
    constexpr std::int64_t limit = 1 << 19;
    FOVEA_CHECK(json.is_number_integer() && json > 0 && json <= limit, "[model] ", path, " is ", json.dump(),
                ", expected a whole number from 1 to ", limit);
    value = json.get<T>();
  }
}

void refuse_unknown(const Json& json, const std::vector<std::string>& known, const std::string& path) {
  for (const auto& [key, value] : json.items()) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    const std::string nearest = nearest_name(key, known);
    fail("[model] unknown key ", path, ".", key,
         nearest.empty() ? "" : "\nhint: did you mean " + path + "." + nearest + "?");
  }
}

template <class Config>
void read_fields(const Json& json, Config& config, const std::string& path) {
  std::vector<std::string> known{"type"};
  fields(config, [&](const char* name, auto& value) {
    known.emplace_back(name);
    if (json.contains(name)) read_value(json[name], value, path + "." + name);
  });
  refuse_unknown(json, known, path);
}

template <class Variant, std::size_t I = 0>
Variant read_tower(const Json& json, const std::string& path, std::string known = "") {
  if constexpr (I == std::variant_size_v<Variant>) {
    fail("[model] ", path, ".type is ", json.contains("type") ? json["type"].dump() : "missing", ", expected one of ",
         known);
  } else {
    using Config = std::variant_alternative_t<I, Variant>;
    if (json.contains("type") && json["type"] == type_name<Config>()) {
      Config config;
      read_fields(json, config, path);
      if constexpr (requires { config.transformer; }) {
        if (!json.contains("hidden")) config.transformer.hidden = 4 * config.transformer.width;
      }
      return config;
    }
    return read_tower<Variant, I + 1>(json, path, known + (known.empty() ? "" : ", ") + type_name<Config>());
  }
}

// Writing.

template <class T>
Json write_value(const T& value) {
  if constexpr (requires { EnumNames<T>::values; }) {
    for (const auto& [name, enumerator] : EnumNames<T>::values) {
      if (value == enumerator) return name;
    }
    return nullptr;
  } else {
    return value;
  }
}

template <class Variant>
Json write_tower(const Variant& tower) {
  return std::visit(
      [](const auto& config) {
        Json json{{"type", type_name<std::decay_t<decltype(config)>>()}};
        fields(config, [&](const char* name, const auto& value) { json[name] = write_value(value); });
        return json;
      },
      tower);
}

// The table of presets.

nn::TransformerConfig transformer(std::int64_t width, std::int64_t layers, std::int64_t heads, ops::AttentionKind kind,
                                  Activation activation, double mlp_ratio = 4) {
  return {width,      layers, heads, static_cast<std::int64_t>(static_cast<double>(width) * mlp_ratio),
          activation, kind,   1e-5};
}

// A published ViT with its text tower. The OpenAI checkpoints use QuickGELU, open_clip's own the exact GELU.
ClipConfig vit(std::int64_t embed, std::int64_t image, std::int64_t patch, std::int64_t layers, std::int64_t width,
               std::int64_t heads, double mlp_ratio, std::int64_t text_width, std::int64_t text_heads,
               std::int64_t text_layers, Activation activation) {
  VisionTransformerConfig vision;
  vision.image_size = image;
  vision.patch_size = patch;
  vision.transformer = transformer(width, layers, heads, ops::AttentionKind::full, activation, mlp_ratio);
  TextTransformerConfig text;
  text.transformer = transformer(text_width, text_layers, text_heads, ops::AttentionKind::causal, activation);
  return {vision, text, embed};
}

ClipConfig rn(std::int64_t embed, std::array<std::int64_t, 4> blocks, std::int64_t width, std::int64_t image,
              std::int64_t text_width, std::int64_t text_heads) {
  TextTransformerConfig text;
  text.transformer = transformer(text_width, 12, text_heads, ops::AttentionKind::causal, Activation::quick_gelu);
  return {ModifiedResNetConfig{image, width, blocks, embed}, text, embed};
}

constexpr std::int64_t small_vocabulary = 4096, small_context = 32;  // of the embedded tokenizer, and its captions

ClipConfig small_resnet_cbow(std::int64_t width) {
  const ResNetConfig image{64, 5, {width, 2 * width, 4 * width, 8 * width}, {1, 1, 1, 1}};
  return {image, CbowConfig{small_vocabulary, small_context, 256, false}, 256};
}

TextTransformerConfig small_text() {
  TextTransformerConfig text;
  text.vocabulary = small_vocabulary;
  text.context = small_context;
  text.transformer = transformer(256, 4, 4, ops::AttentionKind::causal, Activation::gelu);
  return text;
}

ClipConfig small_vit() {
  VisionTransformerConfig image;
  image.image_size = 64;
  image.patch_size = 8;
  image.transformer = transformer(256, 6, 4, ops::AttentionKind::full, Activation::gelu);
  return {image, small_text(), 256};
}

ClipConfig resnet_text(std::vector<std::int64_t> blocks) {
  TextTransformerConfig text;
  text.transformer.activation = Activation::gelu;
  return {ResNetConfig{224, 7, {64, 128, 256, 512}, std::move(blocks)}, text, 512};
}

const std::map<std::string, std::function<ClipConfig()>, std::less<>>& presets() {
  constexpr auto quick = Activation::quick_gelu, exact = Activation::gelu;
  static const std::map<std::string, std::function<ClipConfig()>, std::less<>> table{
      {"RN50",
       [] {
         return rn(1024, {3, 4, 6, 3}, 64, 224, 512, 8);
       }},
      {"RN101",
       [] {
         return rn(512, {3, 4, 23, 3}, 64, 224, 512, 8);
       }},
      {"RN50x4",
       [] {
         return rn(640, {4, 6, 10, 6}, 80, 288, 640, 10);
       }},
      {"RN50x16",
       [] {
         return rn(768, {6, 8, 18, 8}, 96, 384, 768, 12);
       }},
      {"RN50x64",
       [] {
         return rn(1024, {3, 15, 36, 10}, 128, 448, 1024, 16);
       }},
      {"ViT-S-32", [] { return vit(384, 224, 32, 12, 384, 6, 4, 384, 6, 12, exact); }},
      {"ViT-S-16", [] { return vit(384, 224, 16, 12, 384, 6, 4, 384, 6, 12, exact); }},
      {"ViT-B-32", [] { return vit(512, 224, 32, 12, 768, 12, 4, 512, 8, 12, exact); }},
      {"ViT-B-32-quickgelu", [] { return vit(512, 224, 32, 12, 768, 12, 4, 512, 8, 12, quick); }},
      {"ViT-B-16", [] { return vit(512, 224, 16, 12, 768, 12, 4, 512, 8, 12, exact); }},
      {"ViT-B-16-quickgelu", [] { return vit(512, 224, 16, 12, 768, 12, 4, 512, 8, 12, quick); }},
      {"ViT-L-14", [] { return vit(768, 224, 14, 24, 1024, 16, 4, 768, 12, 12, exact); }},
      {"ViT-L-14-quickgelu", [] { return vit(768, 224, 14, 24, 1024, 16, 4, 768, 12, 12, quick); }},
      {"ViT-L-14-336", [] { return vit(768, 336, 14, 24, 1024, 16, 4, 768, 12, 12, exact); }},
      {"ViT-L-14-336-quickgelu", [] { return vit(768, 336, 14, 24, 1024, 16, 4, 768, 12, 12, quick); }},
      {"ViT-H-14", [] { return vit(1024, 224, 14, 32, 1280, 16, 4, 1024, 16, 24, exact); }},
      {"ViT-g-14", [] { return vit(1024, 224, 14, 40, 1408, 16, 4.3637, 1024, 16, 24, exact); }},
      {"ViT-bigG-14", [] { return vit(1280, 224, 14, 48, 1664, 16, 4.9231, 1280, 20, 32, exact); }},
      {"ResNet18",
       [] {
         return resnet_text({2, 2, 2, 2});
       }},
      {"ResNet34",
       [] {
         return resnet_text({3, 4, 6, 3});
       }},
      {"small-resnet-cbow", [] { return small_resnet_cbow(32); }},
      {"small-resnet-wide-cbow", [] { return small_resnet_cbow(48); }},
      {"small-resnet-transformer",
       [] {
         ClipConfig config = small_resnet_cbow(32);
         config.text = small_text();
         return config;
       }},
      {"small-vit", [] { return small_vit(); }},
      {"small-modified-resnet",
       [] {
         return ClipConfig{ModifiedResNetConfig{64, 32, {1, 1, 1, 1}, 256}, small_text(), 256};
       }},
  };
  return table;
}

}  // namespace

std::vector<std::string> clip_preset_names() {
  std::vector<std::string> names;
  for (const auto& [name, make] : presets()) names.push_back(name);
  return names;
}

ClipConfig clip_preset(std::string_view name) {
  const auto found = presets().find(name);
  if (found != presets().end()) return found->second();
  const std::string nearest = nearest_name(name, clip_preset_names());
  fail("[model] no preset is called \"", name, "\"",
       nearest.empty() ? std::string() : "\nhint: did you mean " + nearest + "?");
}

ClipConfig parse_clip_config(const std::string& text) {
  Json json;
  try {
    json = Json::parse(text);
  } catch (const Json::exception& error) {
    fail("[model] not valid JSON: ", error.what());
  }
  if (json.is_string()) return clip_preset(json.get<std::string>());
  FOVEA_CHECK(json.is_object() && json.contains("image") && json.contains("text") && json["image"].is_object() &&
                  json["text"].is_object(),
              "[model] expected a preset's name, or an object with \"image\", \"text\" and \"embed\"");
  FOVEA_CHECK(!json.contains("type") || json["type"] == "clip", "[model] model.type is ", json["type"].dump(),
              ", expected \"clip\"");
  ClipConfig config{read_tower<ImageTower::Config>(json["image"], "model.image"),
                    read_tower<TextTower::Config>(json["text"], "model.text"), 512};
  if (json.contains("embed")) read_value(json["embed"], config.embed, "model.embed");
  refuse_unknown(json, {"type", "image", "text", "embed"}, "model");
  if (auto* resnet = std::get_if<ModifiedResNetConfig>(&config.image)) resnet->embed = config.embed;
  return config;
}

std::string to_json(const ClipConfig& config) {
  return Json{{"type", "clip"},
              {"embed", config.embed},
              {"image", write_tower(config.image)},
              {"text", write_tower(config.text)}}
      .dump(2);
}

ModelSize model_size(const ClipConfig& config, std::int64_t caption_tokens) {
  nn::Init init = nn::Init::none();  // memory that nobody touches costs nothing, however large the model
  ClipModel model(config, init);
  ModelSize size;
  size.parameters = nn::count_parameters(nn::collect(model));
  const auto embed = static_cast<double>(config.embed);
  size.image_flops = ImageTower::flops(config.image);
  if (!model.vision_model.projects())
    size.image_flops += 2 * embed * static_cast<double>(model.vision_model.features());
  size.text_flops =
      TextTower::flops(config.text, caption_tokens) + 2 * embed * static_cast<double>(model.text_model.features());
  return size;
}

}  // namespace fovea::models
