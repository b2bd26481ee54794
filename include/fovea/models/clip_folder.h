// A CLIP on disk: the model folder that every tool reads and writes.
#pragma once

#include <string>

#include "fovea/image/transform.h"
#include "fovea/models/clip.h"
#include "fovea/text/tokenizer.h"

namespace fovea::models {

// A model with what its inputs go through.
struct ClipFolder {
  ClipModel model;
  text::Tokenizer tokenizer;
  image::TransformConfig transform;
};

// Writes config.json, model.safetensors, tokenizer.json and preprocessor.json; the folder is made if needed. Each file
// is replaced only once the new one is complete. Throws Error when the folder cannot be written.
FOVEA_API void save_clip(const std::string& folder, const ClipModel& model, const text::Tokenizer& tokenizer,
                         const image::TransformConfig& transform);

// Reads a folder that save_clip wrote. Throws Error naming the file that is missing or does not fit.
FOVEA_API ClipFolder load_clip(const std::string& folder);

}  // namespace fovea::models
