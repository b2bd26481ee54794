#include "fovea/models/clip_layouts.h"

#include <algorithm>
#include <string>
#include <string_view>

namespace fovea::models {
namespace {

// Native names that begin with `native` begin with `published` in open_clip's files. Of several rules the first holds.
struct Rule {
  std::string_view native, published;
  bool transposed = false;
};

constexpr Rule open_clip_rules[]{
    {"text_model.embeddings.token_embedding.weight", "token_embedding.weight"},
    {"text_model.embeddings.position_embedding.weight", "positional_embedding"},
    {"text_model.encoder.layers.", "transformer.resblocks."},
    {"text_model.final_layer_norm.", "ln_final."},
    {"text_projection.weight", "text_projection", true},
    {"text_model.head.", "text_projection."},
    {"vision_model.embeddings.class_embedding", "visual.class_embedding"},
    {"vision_model.embeddings.patch_embedding.", "visual.conv1."},
    {"vision_model.embeddings.position_embedding.weight", "visual.positional_embedding"},
    {"vision_model.pre_layrnorm.", "visual.ln_pre."},
    {"vision_model.encoder.layers.", "visual.transformer.resblocks."},
    {"vision_model.post_layernorm.", "visual.ln_post."},
    {"vision_model.", "visual."},  // a ModifiedResNet's names are open_clip's
    {"visual_projection.weight", "visual.proj", true},
    {"logit_scale", "logit_scale"},
    {"logit_bias", "logit_bias"},
};

// SigLIP's image tower, which open_clip takes from timm.
constexpr Rule timm_rules[]{
    {"vision_model.embeddings.patch_embedding.", "visual.trunk.patch_embed.proj."},
    {"vision_model.embeddings.position_embedding.weight", "visual.trunk.pos_embed"},
    {"vision_model.encoder.layers.", "visual.trunk.blocks."},
    {"vision_model.post_layernorm.", "visual.trunk.norm."},
    {"vision_model.head.probe", "visual.trunk.attn_pool.latent"},
    {"vision_model.head.attention.q_proj.", "visual.trunk.attn_pool.q."},
    {"vision_model.head.attention.k_proj.", "visual.trunk.attn_pool.kv."},
    {"vision_model.head.attention.v_proj.", "visual.trunk.attn_pool.kv."},
    {"vision_model.head.attention.out_proj.", "visual.trunk.attn_pool.proj."},
    {"vision_model.head.layernorm.", "visual.trunk.attn_pool.norm."},
    {"vision_model.head.mlp.", "visual.trunk.attn_pool.mlp."},
};
constexpr Rule timm_block_rules[]{
    {"layer_norm1.", "norm1."},
    {"layer_norm2.", "norm2."},
    {"self_attn.q_proj.", "attn.qkv."},
    {"self_attn.k_proj.", "attn.qkv."},
    {"self_attn.v_proj.", "attn.qkv."},
    {"self_attn.out_proj.", "attn.proj."},
    {"mlp.", "mlp."},
    {"ls_1.", "ls1."},
    {"ls_2.", "ls2."},
};

// Inside a block of a transformer. The three parts of a matrix become one, in their native order.
constexpr Rule open_clip_block_rules[]{
    {"layer_norm1.", "ln_1."},
    {"layer_norm2.", "ln_2."},
    {"self_attn.q_proj.", "attn.in_proj_"},
    {"self_attn.k_proj.", "attn.in_proj_"},
    {"self_attn.v_proj.", "attn.in_proj_"},
    {"self_attn.out_proj.", "attn.out_proj."},
    {"mlp.fc1.", "mlp.c_fc."},
    {"mlp.fc2.", "mlp.c_proj."},
    {"ls_", "ls_"},
};

struct Published {
  std::string name;
  bool transposed;
};

template <std::size_t n>
Published apply(const Rule (&rules)[n], std::string_view native) {
  for (const Rule& rule : rules) {
    if (!native.starts_with(rule.native)) continue;
    return {concat(rule.published, native.substr(rule.native.size())), rule.transposed};
  }
  fail("[model] open_clip's files have no name for ", native);
}

// `published` with its part behind "<blocks><number>." as the rules for the inside of a block say.
template <std::size_t n>
Published with_inside(Published published, std::string_view blocks, const Rule (&rules)[n]) {
  const std::size_t found = published.name.find(blocks);
  if (found == std::string::npos) return published;
  const std::size_t inside = published.name.find('.', found + blocks.size()) + 1;
  return {published.name.substr(0, inside) + apply(rules, std::string_view(published.name).substr(inside)).name, false};
}

Published open_clip_name(std::string_view native, bool timm) {
  if (timm && native.starts_with("vision_model."))
    return with_inside(apply(timm_rules, native), "trunk.blocks.", timm_block_rules);
  return with_inside(apply(open_clip_rules, native), "resblocks.", open_clip_block_rules);
}

// The shape of a tensor in open_clip's files where it is another one.
std::optional<Shape> open_clip_shape(const nn::ParamEntry& entry, bool timm) {
  if (entry.path == "logit_scale" || entry.path == "logit_bias") return Shape{};
  const Shape shape = entry.value().shape();
  if (timm && entry.path == "vision_model.embeddings.position_embedding.weight") return Shape{1, shape[0], shape[1]};
  return {};
}

// SiglipModel has a torch.nn.MultiheadAttention in its head: queries, keys and values are one matrix.
Published hf_name(std::string_view native) {
  constexpr std::string_view pooling = "head.attention.";
  const std::size_t found = native.find(pooling);
  if (found != std::string_view::npos) {
    const std::string_view inside = native.substr(found + pooling.size());
    if (inside[1] == '_') {  // q_proj., k_proj., v_proj.
      constexpr std::string_view part = "q_proj.";
      return {concat(native.substr(0, found + pooling.size()), "in_proj_", inside.substr(part.size())), false};
    }
  }
  return {std::string(native), false};
}

// The native name of a parameter that CustomTextCLIP keeps below "text.".
bool is_of_text_tower(std::string_view native) {
  return native.starts_with("text_model.") || native.starts_with("text_projection.");
}

bool has_prefix_everywhere(const io::TensorMap& file, std::string_view prefix) {
  return !file.empty() &&
         std::all_of(file.begin(), file.end(), [&](const auto& item) { return item.first.starts_with(prefix); });
}

}  // namespace

ClipNaming clip_naming(ModelLayout layout, const io::TensorMap& file) {
  ClipNaming naming{layout, "", false};
  if (layout != ModelLayout::open_clip) return naming;
  if (has_prefix_everywhere(file, "module.")) naming.prefix = "module.";
  naming.custom_text = file.contains(naming.prefix + "text.ln_final.weight");
  return naming;
}

std::vector<nn::FileTensor> clip_file_tensors(const ClipModel& model, const ClipNaming& naming) {
  const std::vector<nn::ParamEntry> entries = nn::collect(model);
  const auto* vit = std::get_if<VisionTransformerConfig>(&model.config.image);
  const bool open_clip = naming.layout == ModelLayout::open_clip, timm = open_clip && vit != nullptr && vit->map_head;
  std::vector<nn::FileTensor> tensors;
  for (const nn::ParamEntry& entry : entries) {
    const Published published = open_clip ? open_clip_name(entry.path, timm) : hf_name(entry.path);
    const char* text = open_clip && naming.custom_text && is_of_text_tower(entry.path) ? "text." : "";
    const std::string full = naming.prefix + text + published.name;
    if (!tensors.empty() && tensors.back().name == full) {
      tensors.back().parts.push_back(entry);
    } else {
      tensors.push_back({full, {entry}, published.transposed});
      if (open_clip) tensors.back().as = open_clip_shape(entry, timm);
    }
  }
  return tensors;
}

}  // namespace fovea::models
