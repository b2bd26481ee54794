// Transforms as published models describe them.
#pragma once

#include <string>

#include "fovea/core/export.h"
#include "fovea/image/transform.h"

namespace fovea::image {

// The evaluation part as a preprocessor.json: the keys of Hugging Face's preprocessor_config.json that come closest
// (CLIPImageProcessor; LlavaImageProcessor for the mode pad; none for longest, which has none), and where those do not
// say all, the fields of TransformConfig under the key "fovea".
FOVEA_API std::string to_preprocessor_json(const TransformConfig& config);

// The evaluation part as open_clip's preprocess_cfg. Throws Error, naming the key, for what that cannot express.
FOVEA_API std::string to_preprocess_cfg(const TransformConfig& config);

// Reads what to_preprocessor_json writes; Hugging Face's preprocessor_config.json or processor_config.json of CLIP,
// SigLIP, BLIP, ALIGN and EfficientNet, ViT, DeiT and LLaVA, whose defaults are those of transformers 5; and
// open_clip's preprocess_cfg, bare or inside open_clip_config.json (where the size is the image tower's). Rescaling is
// folded into mean and std. Keys that do not concern the pixels are ignored. What TransformConfig cannot express throws
// Error, naming `file` and key.
FOVEA_API TransformConfig parse_preprocessor_json(const std::string& json, const std::string& file);

}  // namespace fovea::image
