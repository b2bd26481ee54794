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
    {"vision_model.embeddings.class_embedding", "visual.class_embedding"},
    {"vision_model.embeddings.patch_embedding.", "visual.conv1."},
    {"vision_model.embeddings.position_embedding.weight", "visual.positional_embedding"},
    {"vision_model.pre_layrnorm.", "visual.ln_pre."},
    {"vision_model.encoder.layers.", "visual.transformer.resblocks."},
    {"vision_model.post_layernorm.", "visual.ln_post."},
    {"vision_model.", "visual."},  // a ModifiedResNet's names are open_clip's
    {"visual_projection.weight", "visual.proj", true},
    {"logit_scale", "logit_scale"},
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

Published open_clip_name(std::string_view native) {
  Published name = apply(open_clip_rules, native);
  constexpr std::string_view blocks = "resblocks.";
  const std::size_t found = name.name.find(blocks);
  if (found == std::string::npos) return name;
  const std::size_t inside = name.name.find('.', found + blocks.size()) + 1;  // behind the block's number
  return {name.name.substr(0, inside) + apply(open_clip_block_rules, std::string_view(name.name).substr(inside)).name,
          false};
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
  if (naming.layout != ModelLayout::open_clip) return nn::native_tensors(entries);
  std::vector<nn::FileTensor> tensors;
  for (const nn::ParamEntry& entry : entries) {
    const Published published = open_clip_name(entry.path);
    const char* text = naming.custom_text && is_of_text_tower(entry.path) ? "text." : "";
    const std::string full = naming.prefix + text + published.name;
    if (!tensors.empty() && tensors.back().name == full) {
      tensors.back().parts.push_back(entry);
    } else {
      tensors.push_back({full, {entry}, published.transposed});
    }
  }
  return tensors;
}

}  // namespace fovea::models
