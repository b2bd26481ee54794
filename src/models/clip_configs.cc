#include "models/clip_configs.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "models/config_section.h"

namespace fovea::models::detail {
namespace {

using io::detail::JsonPlace;

constexpr std::int64_t legacy_end_token = 2;  // what CLIPTextConfig said until 2023: the largest id is pooled

ConfigJson hf_tower_json(const nn::TransformerConfig& c, const char* model_type, std::int64_t embed) {
  ConfigJson json = hf_transformer_json(c, model_type);
  json["projection_dim"] = embed;
  json["attention_dropout"] = 0.0;
  return json;
}

constexpr const char* text_tower_name = "text tower but the causal transformer (this model's is of another type)";

// open_clip's "act_kwargs" and "norm_kwargs" of a tower, and its "mlp_ratio".
void read_open_clip_transformer(const Section& section, bool quick_gelu, nn::TransformerConfig& c) {
  section.read("ls_init_value", c.layer_scale);
  c.activation = quick_gelu ? Activation::quick_gelu : Activation::gelu;
  if (section.has("act_kwargs")) {
    const Section act(section.json["act_kwargs"], section.place / "act_kwargs");
    const std::string approximate = act.text("approximate", "none");
    if (quick_gelu && !act.json.empty()) act.place.fail_with(act.json, "nothing beside quick_gelu");
    io::detail::refuse_unknown(act.json, {"approximate"}, act.place);
    if (approximate == "tanh") {
      c.activation = Activation::gelu_tanh;
    } else if (approximate != "none") {
      (act.place / "approximate").fail_with(act.json["approximate"], "none or tanh");
    }
  }
  c.eps = default_eps;
  if (section.has("norm_kwargs")) {
    const Section norm(section.json["norm_kwargs"], section.place / "norm_kwargs");
    io::detail::refuse_unknown(norm.json, {"eps"}, norm.place);
    c.eps = norm.eps("eps");
  }
  const double ratio = section.get("mlp_ratio", 4.0);
  if (!(ratio > 0 && ratio < 1000)) (section.place / "mlp_ratio").fail_with(section.json["mlp_ratio"], "0 to 1000");
  c.hidden = static_cast<std::int64_t>(static_cast<double>(c.width) * ratio);
}

// The ratio from which open_clip computes `hidden`: int(width * ratio).
double mlp_ratio(const nn::TransformerConfig& c) {
  const auto width = static_cast<double>(c.width);
  double ratio = static_cast<double>(c.hidden) / width;
  while (static_cast<std::int64_t>(width * ratio) < c.hidden) ratio = std::nextafter(ratio, 1e9);
  return ratio;
}

void write_open_clip_transformer(const nn::TransformerConfig& c, ConfigJson& json) {
  json["mlp_ratio"] = mlp_ratio(c);
  if (c.activation == Activation::gelu_tanh) json["act_kwargs"] = {{"approximate", "tanh"}};
  if (c.eps != default_eps) json["norm_kwargs"] = {{"eps", c.eps}};
  if (c.layer_scale > 0) json["ls_init_value"] = c.layer_scale;
}

// timm's image towers of SigLIP: what their names tell and what they were published with.
struct TimmSiglip {
  const char* name;
  std::int64_t heads;
  Activation activation;
};
constexpr TimmSiglip timm_siglips[]{{"vit_base_", 12, Activation::gelu},
                                    {"vit_large_", 16, Activation::gelu},
                                    {"vit_so400m_", 16, Activation::gelu},
                                    {"vit_giantopt_", 16, Activation::gelu_tanh}};

// All sizes but the number of heads are those of the file's parameters.
VisionTransformerConfig parse_timm_siglip(const Section& vision, const io::TensorMap& file, const std::string& prefix) {
  const std::string name = vision.text("timm_model_name", "");
  const auto* known = std::find_if(std::begin(timm_siglips), std::end(timm_siglips), [&](const TimmSiglip& candidate) {
    return name.starts_with(candidate.name) && name.find("_siglip_") != std::string::npos &&
           name.find("_gap_") == std::string::npos;
  });
  if (known == std::end(timm_siglips))
    (vision.place / "timm_model_name").fail_with(vision.json["timm_model_name"], "one of SigLIP's image towers");
  vision.require("timm_pool", "map");
  vision.require("timm_proj", "none");
  const auto shape = [&](const std::string& tensor) {
    const auto found = file.find(prefix + "visual.trunk." + tensor);
    if (found == file.end()) fail(vision.place.prefix, "there is no parameter ", prefix, "visual.trunk.", tensor);
    return found->second.shape();
  };
  VisionTransformerConfig config;
  const Shape patches = shape("patch_embed.proj.weight"), positions = shape("pos_embed");
  config.patch_size = patches[-1];
  const auto grid = std::llround(std::sqrt(static_cast<double>(positions[-2])));
  config.image_size = vision.square("image_size", config.patch_size * grid);
  config.class_token = config.pre_norm = false;
  config.patch_bias = config.map_head = true;
  std::int64_t layers = 0;
  while (file.contains(concat(prefix, "visual.trunk.blocks.", layers, ".norm1.weight"))) ++layers;
  config.transformer = {patches[0],
                        layers,
                        known->heads,
                        shape("blocks.0.mlp.fc1.weight")[0],
                        known->activation,
                        ops::AttentionKind::full,
                        1e-6};
  return config;
}

// Throws Error unless timm has a name for the tower.
ConfigJson timm_siglip_json(const VisionTransformerConfig& vit) {
  struct Size {
    const char* name;
    std::int64_t width, layers, heads, hidden;
    Activation activation;
  };
  constexpr Size sizes_of[]{{"base", 768, 12, 12, 3072, Activation::gelu},
                            {"large", 1024, 24, 16, 4096, Activation::gelu},
                            {"so400m", 1152, 27, 16, 4304, Activation::gelu},
                            {"giantopt", 1536, 40, 16, 6144, Activation::gelu_tanh}};
  const nn::TransformerConfig& c = vit.transformer;
  for (const Size& size : sizes_of) {
    if (size.width != c.width || size.layers != c.layers || size.heads != c.heads || size.hidden != c.hidden ||
        size.activation != c.activation || c.eps != 1e-6 || !vit.patch_bias || vit.pre_norm)
      continue;
    return {{"image_size", vit.image_size},
            {"timm_model_name", concat("vit_", size.name, "_patch", vit.patch_size, "_siglip_", vit.image_size)},
            {"timm_model_pretrained", false},
            {"timm_pool", "map"},
            {"timm_proj", "none"}};
  }
  refuse_export("open_clip",
                "such an image tower: timm names those of SigLIP's published sizes alone, with exact gelu");
}

VisionTransformerConfig parse_open_clip_vit(const Section& vision, bool quick_gelu) {
  VisionTransformerConfig config;
  vision.require("pool_type", "tok");
  vision.require("pos_embed_type", "learnable");
  vision.refuse("attentional_pool");
  config.image_size = vision.square("image_size", 224);
  config.patch_size = vision.square("patch_size", 16);
  config.pre_norm = !vision.get("no_ln_pre", false);
  nn::TransformerConfig& c = config.transformer;
  vision.read("width", c.width);
  vision.read("layers", c.layers);
  read_open_clip_transformer(vision, quick_gelu, c);
  const std::int64_t head_width = vision.get("head_width", std::int64_t{64});
  c.heads = c.width / head_width;
  if (c.heads == 0 || c.width % c.heads != 0) {
    (vision.place / "head_width").fail_with(ConfigJson(head_width), concat("a divisor of the width ", c.width));
  }
  return config;
}

ModifiedResNetConfig parse_open_clip_resnet(const Section& vision, std::int64_t embed) {
  ModifiedResNetConfig config;
  vision.require("head_width", 64);
  config.image_size = vision.square("image_size", 224);
  config.width = vision.get("width", std::int64_t{64});
  vision.read("layers", config.blocks);
  config.embed = embed;
  return config;
}

TextPool parse_open_clip_pool(const Section& text) {
  const std::string pool = text.text("pool_type", "argmax");
  if (pool == "argmax") return TextPool::eot;
  if (pool == "first") return TextPool::first;
  if (pool == "last") return TextPool::last;
  (text.place / "pool_type").fail_with(text.json["pool_type"], "argmax, first or last");
}

TextTransformerConfig parse_open_clip_text(const Section& text, bool quick_gelu) {
  TextTransformerConfig config;
  text.require("proj_type", "linear");
  for (const char* key : {"hf_model_name", "embed_cls"}) text.refuse(key);
  text.read("vocab_size", config.vocabulary);
  text.read("context_length", config.context);
  config.pool = parse_open_clip_pool(text);
  nn::TransformerConfig& c = config.transformer;
  text.read("width", c.width);
  text.read("heads", c.heads);
  text.read("layers", c.layers);
  if (text.get("no_causal_mask", false)) c.attention = ops::AttentionKind::full;
  read_open_clip_transformer(text, quick_gelu, c);
  config.head = text.get("proj_bias", false);
  // What the tokenizers of SigLIP and SigLIP 2 pad with; its own file, where there is one, is asked later.
  if (text.has("hf_tokenizer_name") && config.pool == TextPool::last)
    config.pad_token = config.vocabulary == 256000 ? 0 : 1;
  return config;
}

ConfigJson open_clip_vit_json(const VisionTransformerConfig& vit) {
  if (vit.map_head) return timm_siglip_json(vit);
  if (!vit.class_token || vit.patch_bias) refuse_export("open_clip", "vit without a class token or with a patch bias");
  const nn::TransformerConfig& c = vit.transformer;
  ConfigJson json{{"image_size", vit.image_size},
                  {"layers", c.layers},
                  {"width", c.width},
                  {"head_width", c.width / c.heads},
                  {"patch_size", vit.patch_size}};
  if (!vit.pre_norm) json["no_ln_pre"] = true;
  write_open_clip_transformer(c, json);
  return json;
}

ConfigJson open_clip_text_json(const TextTransformerConfig& text) {
  const nn::TransformerConfig& c = text.transformer;
  ConfigJson json{{"context_length", text.context},
                  {"vocab_size", text.vocabulary},
                  {"width", c.width},
                  {"heads", c.heads},
                  {"layers", c.layers}};
  const bool largest = text.pool == TextPool::end_token && text.end_token == text.vocabulary - 1;
  if (text.pool == TextPool::first || text.pool == TextPool::last) {
    json["pool_type"] = text.pool == TextPool::first ? "first" : "last";
  } else if (text.pool != TextPool::eot && !largest) {
    refuse_export("open_clip", "pooling of the text's mean, or of an end token that is not the largest id");
  }
  if (c.attention == ops::AttentionKind::full) json["no_causal_mask"] = true;
  if (text.head) json["proj_bias"] = true;
  if (text.pad_token)
    json["hf_tokenizer_name"] = text.vocabulary == 256000 ? "timm/ViT-B-16-SigLIP2" : "timm/ViT-B-16-SigLIP";
  write_open_clip_transformer(c, json);
  return json;
}

// Sizes that the shapes of OpenAI's parameters show.
struct OpenAiShapes {
  const io::TensorMap& file;
  const std::string& prefix;
  const std::string& path;

  std::int64_t dim(const std::string& name, int axis) const {
    const auto found = file.find(prefix + name);
    FOVEA_CHECK(found != file.end() && found->second.rank() > axis, "[model] ", path, " has no parameter ", prefix,
                name, "\nhint: without open_clip_config.json only OpenAI's models can be read");
    return found->second.dim(axis);
  }
  // How many of "visual.layer1.0.", "visual.layer1.1.", ... there are.
  std::int64_t count(const std::string& blocks) const {
    std::int64_t n = 0;
    while (true) {
      const std::string block = concat(prefix, blocks, n, ".");
      const auto found = file.lower_bound(block);
      if (found == file.end() || !found->first.starts_with(block)) return n;
      ++n;
    }
  }
  // The side of a square grid whose positions, and one more, have rows of their own.
  std::int64_t grid(const std::string& positions) const {
    const std::int64_t rows = dim(positions, 0);
    const auto side = std::llround(std::sqrt(static_cast<double>(rows - 1)));
    FOVEA_CHECK(side * side + 1 == rows, "[model] ", path, ": ", prefix, positions, " has ", rows,
                " rows, expected one more than a square");
    return side;
  }
  static nn::TransformerConfig transformer(std::int64_t width, std::int64_t layers, ops::AttentionKind kind) {
    return {width, layers, std::max<std::int64_t>(width / 64, 1), 4 * width, Activation::quick_gelu, kind, default_eps};
  }

  ClipConfig config() const {
    ClipConfig config;
    config.embed = dim("text_projection", 1);
    if (file.contains(prefix + "visual.proj")) {
      VisionTransformerConfig vit;
      vit.patch_size = dim("visual.conv1.weight", 3);
      vit.image_size = vit.patch_size * grid("visual.positional_embedding");
      vit.transformer =
          transformer(dim("visual.conv1.weight", 0), count("visual.transformer.resblocks."), ops::AttentionKind::full);
      config.image = vit;
    } else {
      ModifiedResNetConfig resnet;
      resnet.width = dim("visual.layer1.0.conv1.weight", 0);
      resnet.image_size = 32 * grid("visual.attnpool.positional_embedding");
      for (std::size_t stage = 0; stage < 4; ++stage)
        resnet.blocks[stage] = count(concat("visual.layer", stage + 1, "."));
      resnet.embed = config.embed;
      config.image = resnet;
    }
    TextTransformerConfig text;
    text.vocabulary = dim("token_embedding.weight", 0);
    text.context = dim("positional_embedding", 0);
    text.transformer =
        transformer(dim("ln_final.weight", 0), count("transformer.resblocks."), ops::AttentionKind::causal);
    config.text = text;
    return config;
  }
};

ClipConfig parse_hf_clip(const ConfigJson& json, const std::string& file) {
  const Section whole(json, {"[model] " + file + ": ", ""});
  const Section vision = hf_section(json, whole.place, "vision_config");
  const Section text = hf_section(json, whole.place, "text_config");

  VisionTransformerConfig image;
  vision.require("num_channels", 3);
  image.image_size = vision.square("image_size", 224);
  image.patch_size = vision.square("patch_size", 32);
  image.transformer = hf_transformer(vision, image.transformer);

  TextTransformerConfig words;
  text.read("vocab_size", words.vocabulary);
  text.read("max_position_embeddings", words.context);
  words.transformer = hf_transformer(text, words.transformer);
  const std::int64_t end_token = text.get("eos_token_id", words.end_token, token_ids);
  if (end_token != legacy_end_token) {
    words.pool = TextPool::end_token;
    words.end_token = end_token;
  }
  return {image, words, whole.get("projection_dim", std::int64_t{512})};
}

// Hugging Face's classes of two towers, by what config.json calls them.
struct HfFamily {
  const char* model_type;
  ClipConfig (*parse)(const ConfigJson& json, const std::string& file);
};
constexpr HfFamily hf_families[]{{"clip", parse_hf_clip}, {"siglip", parse_hf_siglip_config}};

}  // namespace

void refuse_export(const std::string& whose, const std::string& what) {
  fail("[export] ", whose, " has no ", what,
       "\nhint: --layout fovea writes every model; other towers (a vit or modified_resnet with a transformer) export");
}

bool is_hf_clip(std::string_view model_type) {
  return std::any_of(std::begin(hf_families), std::end(hf_families),
                     [&](const HfFamily& family) { return model_type == family.model_type; });
}

ClipConfig parse_hf_config(const ConfigJson& json, const std::string& file) {
  const auto* family = std::find_if(std::begin(hf_families), std::end(hf_families), [&](const HfFamily& candidate) {
    return json["model_type"] == candidate.model_type;
  });
  return family->parse(json, file);
}

ConfigJson to_hf_config(const ClipConfig& config) {
  if (config.similarity == Similarity::scale_and_bias) return to_hf_siglip_config(config);
  const std::string whose = "Hugging Face's CLIPModel";
  const auto& image = tower_of<VisionTransformerConfig>(config.image, whose, "image tower but the vit");
  const auto& text = tower_of<TextTransformerConfig>(config.text, whose, text_tower_name);
  if (config.similarity != Similarity::scale) refuse_export(whose, "temperature");
  if (!image.class_token || !image.pre_norm || image.patch_bias || image.transformer.layer_scale > 0)
    refuse_export(whose, "vit without a class token or pre_norm, or with a patch bias or layer scale");
  if (text.transformer.attention != ops::AttentionKind::causal || text.head || text.transformer.layer_scale > 0)
    refuse_export(whose, text_tower_name);
  if (text.pool != TextPool::eot && text.pool != TextPool::end_token)
    refuse_export(whose, "pooling of the text's first or last token, or of the mean");

  ConfigJson vision = hf_tower_json(image.transformer, "clip_vision_model", config.embed);
  vision["image_size"] = image.image_size;
  vision["patch_size"] = image.patch_size;
  vision["num_channels"] = 3;
  ConfigJson words = hf_tower_json(text.transformer, "clip_text_model", config.embed);
  words["vocab_size"] = text.vocabulary;
  words["max_position_embeddings"] = text.context;
  words["bos_token_id"] = text.vocabulary - 2;  // CLIP's vocabularies end with the start and the end of a text
  words["eos_token_id"] = text.pool == TextPool::eot ? legacy_end_token : text.end_token;
  return {{"architectures", ConfigJson::array({"CLIPModel"})},
          {"model_type", "clip"},
          {"projection_dim", config.embed},
          {"text_config", words},
          {"vision_config", vision}};
}

ClipConfig parse_open_clip_config(const ConfigJson& json, const std::string& file, const io::TensorMap& parameters,
                                  const std::string& prefix) {
  const Section whole(json, {"[model] " + file + ": ", "model_cfg"});
  for (const char* key : {"embed_dim", "vision_cfg", "text_cfg"}) {
    if (!whole.has(key)) fail(whole.place.prefix, (whole.place / key).path, " is missing");
  }
  whole.refuse("multimodal_cfg");
  const Section vision(json["vision_cfg"], whole.place / "vision_cfg");
  const Section text(json["text_cfg"], whole.place / "text_cfg");
  const bool quick_gelu = whole.get("quick_gelu", false);
  ClipConfig config;
  whole.read("embed_dim", config.embed);
  if (whole.has("init_logit_bias")) config.similarity = Similarity::scale_and_bias;
  if (vision.has("timm_model_name")) {
    config.image = parse_timm_siglip(vision, parameters, prefix);
  } else if (vision.has("layers") && vision.json["layers"].is_array()) {
    config.image = parse_open_clip_resnet(vision, config.embed);
  } else {
    config.image = parse_open_clip_vit(vision, quick_gelu);
  }
  TextTransformerConfig words = parse_open_clip_text(text, quick_gelu);
  words.embed = config.embed;
  config.text = words;
  return config;
}

ClipConfig infer_openai_config(const io::TensorMap& file, const std::string& prefix, const std::string& path) {
  return OpenAiShapes{file, prefix, path}.config();
}

ConfigJson to_open_clip_config(const ClipConfig& config) {
  const auto& text = tower_of<TextTransformerConfig>(config.text, "open_clip", text_tower_name);
  ConfigJson json{{"embed_dim", config.embed}};
  Activation image_activation = text.transformer.activation;
  ConfigJson vision;
  if (const auto* resnet = std::get_if<ModifiedResNetConfig>(&config.image)) {
    vision = {{"image_size", resnet->image_size}, {"layers", resnet->blocks}, {"width", resnet->width}};
  } else {
    const auto& vit =
        tower_of<VisionTransformerConfig>(config.image, "open_clip", "image tower but the vit and the modified_resnet");
    image_activation = vit.transformer.activation;
    vision = open_clip_vit_json(vit);
  }
  const bool quick = text.transformer.activation == Activation::quick_gelu;
  const auto known = [](Activation a) {
    return a == Activation::gelu || a == Activation::gelu_tanh || a == Activation::quick_gelu;
  };
  if (!known(text.transformer.activation) || !known(image_activation) ||
      quick != (image_activation == Activation::quick_gelu)) {
    refuse_export("open_clip", "such activations: quick_gelu in both towers, or gelu or gelu_tanh in each");
  }
  if (quick) json["quick_gelu"] = true;
  if (config.similarity == Similarity::temperature) refuse_export("open_clip", "temperature");
  if (config.similarity == Similarity::scale_and_bias) json["init_logit_bias"] = -10;
  if (text.head) json["custom_text"] = true;
  json["vision_cfg"] = vision;
  json["text_cfg"] = open_clip_text_json(text);
  return json;
}

}  // namespace fovea::models::detail
