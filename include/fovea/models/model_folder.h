// Model folders of any type.
#pragma once

#include <string>
#include <vector>

#include "fovea/models/clip_layouts.h"

namespace fovea::models {

// Reads a model folder of any layout and writes it as another: hf is what transformers' from_pretrained reads,
// open_clip a folder of its hub. Returns what the new folder lacks because the old one does: "tokenizer",
// "preprocessor". Throws Error when the folder cannot be read, the layout has no such model, and when the new folder
// cannot be written.
FOVEA_API std::vector<std::string> rewrite_model(const std::string& from, const std::string& to, ModelLayout layout,
                                                 io::FloatFormat floats = io::FloatFormat::f32);

}  // namespace fovea::models
