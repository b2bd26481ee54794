// Descriptions of CLIP in published configuration files. Private to the sources.
#pragma once

#include <string>

#include "fovea/io/safetensors.h"
#include "fovea/models/clip.h"
#include "models/config_section.h"

namespace fovea::models::detail {

// Whether Hugging Face's class of that type ("clip") is a ClipModel here.
bool is_hf_clip(std::string_view model_type);

// The model of Hugging Face's config.json, which is of such a type; keys that are missing have their class's defaults.
// Throws Error, opening with the file, for wrong types and for what the towers here cannot be.
ClipConfig parse_hf_config(const ConfigJson& json, const std::string& file);
// Throws Error for towers that neither CLIPModel nor, with a logit_bias, SiglipModel has.
ConfigJson to_hf_config(const ClipConfig& config);

// Of SiglipModel.
ClipConfig parse_hf_siglip_config(const ConfigJson& json, const std::string& file);
ConfigJson to_hf_siglip_config(const ClipConfig& config);

// For what a published class does not have.
[[noreturn]] void refuse_export(const std::string& whose, const std::string& what);

template <class Tower, class Variant>
const Tower& tower_of(const Variant& variant, const std::string& whose, const std::string& what) {
  const auto* tower = std::get_if<Tower>(&variant);
  if (tower == nullptr) refuse_export(whose, what);
  return *tower;
}

// The same of "model_cfg" in open_clip's open_clip_config.json. Of image towers that it takes from timm (SigLIP's), the
// file's parameters, whose names begin with `prefix`, tell the sizes.
ClipConfig parse_open_clip_config(const ConfigJson& json, const std::string& file, const io::TensorMap& parameters,
                                  const std::string& prefix);
ConfigJson to_open_clip_config(const ClipConfig& config);

// The model whose parameters a file of OpenAI's holds, as the original code tells from their shapes: heads are 64 wide
// and the activation is QuickGELU (openai/CLIP, clip/model.py, `build_model`). Names begin with `prefix`. Throws Error,
// naming the file, when a parameter is missing or no size fits.
ClipConfig infer_openai_config(const io::TensorMap& file, const std::string& prefix, const std::string& path);

}  // namespace fovea::models::detail
