// How published files spell and lay out the parameters of a CLIP.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fovea/models/clip.h"
#include "fovea/nn/parameter_file.h"

namespace fovea::models {

// Whose files they are.
enum class ModelLayout : std::uint8_t {
  fovea,      // the library's own model folders; native names
  hf,         // Hugging Face's CLIPModel, whose names are the native ones
  open_clip,  // open_clip's CLIP and CustomTextCLIP, and OpenAI's CLIP
};

// The names of one file.
struct ClipNaming {
  ModelLayout layout = ModelLayout::fovea;
  std::string prefix;        // of every name: "module." in checkpoints of distributed training
  bool custom_text = false;  // open_clip's CustomTextCLIP: the text tower's names begin with "text."
};

// How the names of a file in `layout` are formed, seen from the names themselves.
FOVEA_API ClipNaming clip_naming(ModelLayout layout, const io::TensorMap& file);

// The tensors of a file that holds the model. open_clip's stores projections as (in, out), and queries, keys and values
// as one matrix.
FOVEA_API std::vector<nn::FileTensor> clip_file_tensors(const ClipModel& model, const ClipNaming& naming);

}  // namespace fovea::models
