#include "fovea/models/presets.h"

#include <map>

#include "io/json_fields.h"
#include "models/efficientnet_configs.h"
#include "models/tower_configs.h"

namespace fovea::io::detail {

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
struct EnumNames<models::TextPool> {
  static constexpr std::pair<const char*, models::TextPool> values[] = {{"eot", models::TextPool::eot},
                                                                        {"end_token", models::TextPool::end_token},
                                                                        {"last", models::TextPool::last},
                                                                        {"first", models::TextPool::first},
                                                                        {"mean", models::TextPool::mean}};
};
template <>
struct EnumNames<models::Similarity> {
  static constexpr std::pair<const char*, models::Similarity> values[] = {
      {"scale", models::Similarity::scale},
      {"scale_and_bias", models::Similarity::scale_and_bias},
      {"temperature", models::Similarity::temperature}};
};

}  // namespace fovea::io::detail

namespace fovea::models {

using io::detail::JsonPlace;
using io::detail::Same;
using Json = nlohmann::ordered_json;

static void fields(Same<nn::TransformerConfig> auto& c, auto&& f) {
  f("width", c.width), f("layers", c.layers), f("heads", c.heads), f("hidden", c.hidden);
  f("activation", c.activation), f("attention", c.attention), f("eps", c.eps), f("layer_scale", c.layer_scale);
}
static void fields(Same<VisionTransformerConfig> auto& c, auto&& f) {
  f("image_size", c.image_size), f("patch_size", c.patch_size), f("class_token", c.class_token);
  f("pre_norm", c.pre_norm), f("patch_bias", c.patch_bias), f("map_head", c.map_head);
  f("patch_dropout", c.patch_dropout);
  fields(c.transformer, f);
}
static void fields(Same<ModifiedResNetConfig> auto& c, auto&& f) {
  f("image_size", c.image_size), f("width", c.width), f("blocks", c.blocks);
}
static void fields(Same<ResNetConfig> auto& c, auto&& f) {
  f("image_size", c.image_size), f("stem_kernel", c.stem_kernel), f("channels", c.channels), f("blocks", c.blocks);
}
static void fields(Same<TextTransformerConfig> auto& c, auto&& f) {
  f("vocabulary", c.vocabulary), f("context", c.context), f("pool", c.pool);
  f("end_token", c.end_token), f("pad_token", c.pad_token), f("head", c.head);
  fields(c.transformer, f);
}
static void fields(Same<CbowConfig> auto& c, auto&& f) {
  f("vocabulary", c.vocabulary), f("context", c.context), f("width", c.width), f("special_tokens", c.special_tokens);
}
static void fields(Same<BertConfig> auto& c, auto&& f) {
  f("vocabulary", c.vocabulary), f("context", c.context), f("token_types", c.token_types);
  f("dropout", c.dropout), f("pooler", c.pooler);
  fields(c.transformer, f);
}

namespace {

// So that the sizes of all tensors fit 64 bits, and what cannot be allocated is refused.
constexpr io::detail::WholeRange whole_numbers{1, 1 << 19};
constexpr io::detail::WholeRange token_or_none{-1, (1 << 19) - 1};

template <class Config>
constexpr const char* type_name() {
  if constexpr (std::is_same_v<Config, VisionTransformerConfig>) return "vit";
  if constexpr (std::is_same_v<Config, ModifiedResNetConfig>) return "modified_resnet";
  if constexpr (std::is_same_v<Config, ResNetConfig>) return "resnet";
  if constexpr (std::is_same_v<Config, EfficientNetConfig>) return "efficientnet";
  if constexpr (std::is_same_v<Config, TextTransformerConfig>) return "transformer";
  if constexpr (std::is_same_v<Config, CbowConfig>) return "cbow";
  if constexpr (std::is_same_v<Config, BertConfig>) return "bert";
}

template <class Variant, std::size_t I = 0>
Variant read_tower(const Json& json, const JsonPlace& place, std::vector<std::string> known = {}) {
  if constexpr (I == std::variant_size_v<Variant>) {
    (place / "type").fail_with(json.contains("type") ? json["type"] : Json(), "one of " + io::detail::join(known));
  } else {
    using Config = std::variant_alternative_t<I, Variant>;
    if (json.contains("type") && json["type"] == type_name<Config>()) {
      Config config;
      std::vector<std::string> others{"type"};
      if constexpr (requires { config.padding_token; }) {
        others.emplace_back("padding_token");
        if (json.contains("padding_token"))
          io::detail::read_value(json["padding_token"], config.padding_token, place / "padding_token", token_or_none);
      }
      if constexpr (std::is_same_v<Config, EfficientNetConfig>) {
        others.emplace_back("variant");
        if (json.contains("variant")) config = detail::efficientnet_variant(json["variant"], place / "variant");
      }
      io::detail::read_fields(json, config, place, whole_numbers, others);
      if constexpr (requires { config.transformer; }) {
        if (!json.contains("hidden")) config.transformer.hidden = 4 * config.transformer.width;
      }
      return config;
    }
    known.emplace_back(type_name<Config>());
    return read_tower<Variant, I + 1>(json, place, std::move(known));
  }
}

template <class Variant>
Json write_tower(const Variant& tower) {
  return std::visit(
      [](const auto& config) {
        Json json{{"type", type_name<std::decay_t<decltype(config)>>()}};
        json.update(io::detail::write_value<Json>(config));
        if constexpr (requires { config.padding_token; }) json["padding_token"] = config.padding_token;
        return json;
      },
      tower);
}

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

// BERTs as published, with coyo-align's smallest.
const std::map<std::string, BertConfig, std::less<>>& bert_presets() {
  const auto bert = [](std::int64_t layers, std::int64_t width) {
    BertConfig config;
    config.transformer.layers = layers;
    config.transformer.width = width;
    config.transformer.heads = width / 64;
    config.transformer.hidden = 4 * width;
    return config;
  };
  static const std::map<std::string, BertConfig, std::less<>> table{
      {"bert-mini", bert(4, 256)}, {"bert-base", bert(12, 768)}, {"bert-large", bert(24, 1024)}};
  return table;
}

struct SiglipSizes {
  std::int64_t width, layers, heads, hidden;
};
constexpr SiglipSizes siglip_b{768, 12, 12, 3072}, siglip_l{1024, 24, 16, 4096}, siglip_so400m{1152, 27, 16, 4304},
    siglip_gopt{1536, 40, 16, 6144};

// Two towers of SigLIP, which meet in the image tower's width. Captions are filled up with the token `pad`.
ClipConfig siglip(std::int64_t image_size, std::int64_t patch, const SiglipSizes& image, const SiglipSizes& text,
                  std::int64_t vocabulary, std::int64_t context, std::int64_t pad) {
  const auto tower = [](const SiglipSizes& s) {
    return nn::TransformerConfig{s.width, s.layers, s.heads, s.hidden, Activation::gelu_tanh, ops::AttentionKind::full,
                                 1e-6};
  };
  VisionTransformerConfig vision;
  vision.image_size = image_size;
  vision.patch_size = patch;
  vision.transformer = tower(image);
  vision.class_token = vision.pre_norm = false;
  vision.patch_bias = vision.map_head = true;
  TextTransformerConfig words;
  words.vocabulary = vocabulary;
  words.context = context;
  words.transformer = tower(text);
  words.pool = TextPool::last;
  words.pad_token = pad;
  words.head = true;
  words.embed = image.width;
  return {vision, words, image.width, Similarity::scale_and_bias};
}
// SigLIP, whose pad is the end of text, 1; and SigLIP 2, with Gemma's vocabulary and pad.
ClipConfig siglip1(std::int64_t image_size, std::int64_t patch, const SiglipSizes& sizes, std::int64_t context = 64) {
  return siglip(image_size, patch, sizes, sizes, 32000, context, 1);
}
ClipConfig siglip2(std::int64_t image_size, std::int64_t patch, const SiglipSizes& sizes) {
  const bool giant = sizes.width == siglip_gopt.width;
  return siglip(image_size, patch, sizes, giant ? siglip_so400m : sizes, 256000, 64, 0);
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

ClipConfig s16() {
  VisionTransformerConfig image;
  image.image_size = 112;
  image.patch_size = 16;
  image.transformer = transformer(384, 12, 6, ops::AttentionKind::full, Activation::gelu);
  TextTransformerConfig text;
  text.vocabulary = 8192;
  text.context = 32;
  text.transformer = transformer(384, 6, 6, ops::AttentionKind::causal, Activation::gelu);
  return {image, text, 384};
}

ClipConfig resnet_text(std::vector<std::int64_t> blocks) {
  TextTransformerConfig text;
  text.transformer.activation = Activation::gelu;
  return {ResNetConfig{224, 7, {64, 128, 256, 512}, std::move(blocks)}, text, 512};
}

ClipConfig small_resnet_transformer() {
  ClipConfig config = small_resnet_cbow(32);
  config.text = small_text();
  return config;
}

// ALIGN as kakaobrain/coyo-align trains it: captions of up to 64 tokens, and a projection of the pictures' features
// unless they are as wide as the joint space.
ClipConfig align(const char* variant, std::int64_t image_size, const char* text, std::int64_t context,
                 std::int64_t embed) {
  EfficientNetConfig image = detail::efficientnet_variant(variant, {"[model] ", "variant"});
  image.image_size = image_size;
  image.top = false;
  image.projects = image.features() == embed;
  BertConfig words = bert_preset(text);
  words.context = context;
  words.pooler = true;
  return {image, words, embed, Similarity::temperature, true};
}

// The same for one machine's processors and pictures of 64 pixels.
ClipConfig small_align() {
  ClipConfig config = align("b0", 64, "bert-mini", 32, 256);
  auto& image = std::get<EfficientNetConfig>(config.image);
  image.strides = {1, 1, 2, 2, 1, 2, 1};  // the stem has halved the picture
  image.repeats = {1, 1, 2, 2, 2, 2, 1};
  image.drop_connect = 0.1;
  return config;
}

std::map<std::string, ClipConfig, std::less<>> make_presets() {
  constexpr auto quick = Activation::quick_gelu, exact = Activation::gelu;
  return {
      {"RN50", rn(1024, {3, 4, 6, 3}, 64, 224, 512, 8)},
      {"RN101", rn(512, {3, 4, 23, 3}, 64, 224, 512, 8)},
      {"RN50x4", rn(640, {4, 6, 10, 6}, 80, 288, 640, 10)},
      {"RN50x16", rn(768, {6, 8, 18, 8}, 96, 384, 768, 12)},
      {"RN50x64", rn(1024, {3, 15, 36, 10}, 128, 448, 1024, 16)},
      {"ViT-S-32", vit(384, 224, 32, 12, 384, 6, 4, 384, 6, 12, exact)},
      {"ViT-S-16", vit(384, 224, 16, 12, 384, 6, 4, 384, 6, 12, exact)},
      {"ViT-B-32", vit(512, 224, 32, 12, 768, 12, 4, 512, 8, 12, exact)},
      {"ViT-B-32-quickgelu", vit(512, 224, 32, 12, 768, 12, 4, 512, 8, 12, quick)},
      {"ViT-B-16", vit(512, 224, 16, 12, 768, 12, 4, 512, 8, 12, exact)},
      {"ViT-B-16-quickgelu", vit(512, 224, 16, 12, 768, 12, 4, 512, 8, 12, quick)},
      {"ViT-L-14", vit(768, 224, 14, 24, 1024, 16, 4, 768, 12, 12, exact)},
      {"ViT-L-14-quickgelu", vit(768, 224, 14, 24, 1024, 16, 4, 768, 12, 12, quick)},
      {"ViT-L-14-336", vit(768, 336, 14, 24, 1024, 16, 4, 768, 12, 12, exact)},
      {"ViT-L-14-336-quickgelu", vit(768, 336, 14, 24, 1024, 16, 4, 768, 12, 12, quick)},
      {"ViT-H-14", vit(1024, 224, 14, 32, 1280, 16, 4, 1024, 16, 24, exact)},
      {"ViT-g-14", vit(1024, 224, 14, 40, 1408, 16, 4.3637, 1024, 16, 24, exact)},
      {"ViT-bigG-14", vit(1280, 224, 14, 48, 1664, 16, 4.9231, 1280, 20, 32, exact)},
      {"ViT-B-16-SigLIP", siglip1(224, 16, siglip_b)},
      {"ViT-B-16-SigLIP-256", siglip1(256, 16, siglip_b)},
      {"ViT-B-16-SigLIP-384", siglip1(384, 16, siglip_b)},
      {"ViT-B-16-SigLIP-512", siglip1(512, 16, siglip_b)},
      {"ViT-B-16-SigLIP-i18n-256", siglip(256, 16, siglip_b, siglip_b, 250000, 64, 1)},
      {"ViT-L-16-SigLIP-256", siglip1(256, 16, siglip_l)},
      {"ViT-L-16-SigLIP-384", siglip1(384, 16, siglip_l)},
      {"ViT-SO400M-14-SigLIP", siglip1(224, 14, siglip_so400m, 16)},
      {"ViT-SO400M-14-SigLIP-384", siglip1(384, 14, siglip_so400m)},
      {"ViT-B-32-SigLIP2-256", siglip2(256, 32, siglip_b)},
      {"ViT-B-16-SigLIP2", siglip2(224, 16, siglip_b)},
      {"ViT-B-16-SigLIP2-256", siglip2(256, 16, siglip_b)},
      {"ViT-B-16-SigLIP2-384", siglip2(384, 16, siglip_b)},
      {"ViT-B-16-SigLIP2-512", siglip2(512, 16, siglip_b)},
      {"ViT-L-16-SigLIP2-256", siglip2(256, 16, siglip_l)},
      {"ViT-L-16-SigLIP2-384", siglip2(384, 16, siglip_l)},
      {"ViT-L-16-SigLIP2-512", siglip2(512, 16, siglip_l)},
      {"ViT-SO400M-14-SigLIP2", siglip2(224, 14, siglip_so400m)},
      {"ViT-SO400M-16-SigLIP2-256", siglip2(256, 16, siglip_so400m)},
      {"ViT-SO400M-16-SigLIP2-384", siglip2(384, 16, siglip_so400m)},
      {"ViT-SO400M-16-SigLIP2-512", siglip2(512, 16, siglip_so400m)},
      {"ViT-gopt-16-SigLIP2-256", siglip2(256, 16, siglip_gopt)},
      {"ViT-gopt-16-SigLIP2-384", siglip2(384, 16, siglip_gopt)},
      {"small-siglip", siglip(64, 8, {128, 4, 4, 512}, {128, 2, 4, 512}, small_vocabulary, 16, small_vocabulary - 1)},
      {"ResNet18", resnet_text({2, 2, 2, 2})},
      {"ResNet34", resnet_text({3, 4, 6, 3})},
      {"align-b7-base", align("b7", 289, "bert-base", 64, 640)},
      {"align-b7-large", align("b7", 289, "bert-large", 64, 640)},
      {"align-b3-mini", align("b3", 289, "bert-mini", 64, 640)},
      {"small-align", small_align()},
      {"small-resnet-cbow", small_resnet_cbow(32)},
      {"small-resnet-wide-cbow", small_resnet_cbow(48)},
      {"small-resnet-transformer", small_resnet_transformer()},
      {"small-vit", small_vit()},
      {"small-modified-resnet", {ModifiedResNetConfig{64, 32, {1, 1, 1, 1}, 256}, small_text(), 256}},
  };
}

const std::map<std::string, ClipConfig, std::less<>>& presets() {
  static const auto table = make_presets();
  return table;
}

}  // namespace

ImageTower::Config detail::parse_image_tower(const ConfigJson& json, const JsonPlace& place) {
  return read_tower<ImageTower::Config>(json, place);
}
detail::ConfigJson detail::image_tower_json(const ImageTower::Config& config) { return write_tower(config); }

std::vector<std::string> clip_preset_names() {
  std::vector<std::string> names;
  for (const auto& [name, config] : presets()) names.push_back(name);
  return names;
}

ClipConfig clip_preset(std::string_view name) {
  const auto found = presets().find(name);
  if (found != presets().end()) return found->second;
  const std::string nearest = nearest_name(name, clip_preset_names());
  fail("[model] no preset is called \"", name, "\"",
       nearest.empty() ? std::string() : "\nhint: did you mean " + nearest + "?");
}

std::vector<std::string> bert_preset_names() {
  std::vector<std::string> names;
  for (const auto& [name, config] : bert_presets()) names.push_back(name);
  return names;
}

BertConfig bert_preset(std::string_view name) {
  const auto found = bert_presets().find(name);
  FOVEA_CHECK(found != bert_presets().end(), "[model] no text tower is called \"", name, "\", expected one of ",
              io::detail::join(bert_preset_names()));
  return found->second;
}

std::vector<std::string> step_benchmark_names() { return {"small", "s16", "b32", "rn50", "b0"}; }

StepBenchmark step_benchmark(std::string_view name) {
  if (name == "small") return {small_vit()};
  if (name == "s16") return {s16()};
  if (name == "b32") return {clip_preset("ViT-B-32")};
  if (name == "b0") {
    ClipConfig config = clip_preset("ResNet18");
    config.image = EfficientNetConfig();
    return {config, true};
  }
  FOVEA_CHECK(name == "rn50", "[model] no benchmark is called \"", name, "\", expected one of ",
              io::detail::join(step_benchmark_names()));
  return {clip_preset("RN50"), true};
}

ClipConfig parse_clip_config(const std::string& text) {
  const Json json = io::detail::parse_json<Json>(text, "[model]");
  if (json.is_string()) return clip_preset(json.get<std::string>());
  FOVEA_CHECK(json.is_object() && json.contains("image") && json.contains("text") && json["image"].is_object() &&
                  (json["text"].is_object() || json["text"].is_string()),
              "[model] expected a preset's name, or an object with \"image\", \"text\" and \"embed\"");
  FOVEA_CHECK(!json.contains("type") || json["type"] == "clip", "[model] model.type is ", json["type"].dump(),
              ", expected \"clip\"");
  const JsonPlace place{"[model] ", "model"};
  io::detail::refuse_unknown(json, {"type", "image", "text", "embed", "similarity", "projection_bias"}, place);
  ClipConfig config{read_tower<ImageTower::Config>(json["image"], place / "image"),
                    json["text"].is_string() ? bert_preset(json["text"].get<std::string>())
                                             : read_tower<TextTower::Config>(json["text"], place / "text"),
                    512};
  if (json.contains("embed")) io::detail::read_value(json["embed"], config.embed, place / "embed", whole_numbers);
  if (json.contains("similarity"))
    io::detail::read_value(json["similarity"], config.similarity, place / "similarity", whole_numbers);
  if (json.contains("projection_bias")) {
    io::detail::read_value(json["projection_bias"], config.projection_bias, place / "projection_bias", whole_numbers);
  }
  if (auto* resnet = std::get_if<ModifiedResNetConfig>(&config.image)) resnet->embed = config.embed;
  if (auto* words = std::get_if<TextTransformerConfig>(&config.text)) words->embed = config.embed;
  return config;
}

BertConfig parse_bert_config(const std::string& text) {
  const Json json = io::detail::parse_json<Json>(text, "[model]");
  return std::get<0>(read_tower<std::variant<BertConfig>>(json, {"[model] ", "model"}));
}

std::string to_json(const BertConfig& config) { return write_tower(std::variant<BertConfig>(config)).dump(2); }

std::string to_json(const ClipConfig& config) {
  return Json{{"type", "clip"},
              {"embed", config.embed},
              {"image", write_tower(config.image)},
              {"text", write_tower(config.text)},
              {"similarity", io::detail::write_value<Json>(config.similarity)},
              {"projection_bias", config.projection_bias}}
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
  size.text_flops = TextTower::flops(config.text, caption_tokens);
  if (!model.text_model.projects()) size.text_flops += 2 * embed * static_cast<double>(model.text_model.features());
  return size;
}

}  // namespace fovea::models
