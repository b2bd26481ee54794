// A CLIP on disk: the model folder that every tool reads and writes.
#pragma once

#include <optional>
#include <string>

#include "fovea/image/transform.h"
#include "fovea/models/clip.h"
#include "fovea/models/clip_layouts.h"
#include "fovea/text/tokenizer.h"

namespace fovea::models {

// A model with what its inputs go through.
struct ClipFolder {
  ClipModel model;
  text::Tokenizer tokenizer;
  image::TransformConfig transform;
};

// What pictures of a new model go through unless something else is said: as CLIP's, or, where the image tower is
// SigLIP's, squashed to a square with values of [-1, 1].
FOVEA_API image::TransformConfig usual_transform(const ClipConfig& config);

// Writes config.json, model.safetensors, tokenizer.json and preprocessor.json; the folder is made if needed. Each file
// is replaced only once the new one is complete. Throws Error when the folder cannot be written.
FOVEA_API void save_clip(const std::string& folder, const ClipModel& model, const text::Tokenizer& tokenizer,
                         const image::TransformConfig& transform);

// Reads a model folder of the library's own, of Hugging Face (CLIPModel) or of open_clip. Throws Error naming the file
// that is missing or does not fit.
FOVEA_API ClipFolder load_clip(const std::string& folder);

// Whose folder it is, and the type of the model in it ("clip", or what Hugging Face's config.json says).
struct FolderKind {
  ModelLayout layout;
  std::string model_type;
};

// Seen from the folder's files, config.json before open_clip_config.json, unless a layout is given. Throws Error when
// the folder has neither.
FOVEA_API FolderKind folder_kind(const std::string& folder, std::optional<ModelLayout> given = {});

// A model without what its inputs go through.
struct LoadedClip {
  ClipModel model;
  ClipNaming naming;  // of the file that its parameters came from
};

// Reads the configuration and the parameters of a folder, which is all that it needs to hold:
//
//   fovea      config.json, model.safetensors
//   hf         config.json, model.safetensors or model.safetensors.index.json with its files, or pytorch_model.bin
//   open_clip  open_clip_config.json and a file of parameters: open_clip_model.safetensors, model.safetensors,
//              open_clip_pytorch_model.bin, or the folder's only *.safetensors, *.bin, *.pt or *.pth. Without
//              open_clip_config.json the parameters must be those of an OpenAI model, whose sizes they show.
//
// Parameters of any floating type become `dtype`. Throws Error naming the file that is missing or does not fit.
FOVEA_API LoadedClip load_clip_model(const std::string& folder, std::optional<ModelLayout> layout = {},
                                     DType dtype = DType::f32);

// The tokenizer and the transform of a folder that load_clip_model has read; none where it has no such file. Throws
// Error naming a file that cannot be read or does not fit the model.
FOVEA_API std::optional<text::Tokenizer> load_clip_tokenizer(const std::string& folder, LoadedClip& clip);
FOVEA_API std::optional<image::TransformConfig> load_clip_transform(const std::string& folder, const LoadedClip& clip);

// Writes a model folder as others read it: hf is what transformers' from_pretrained reads, open_clip a folder of its
// hub. Without a tokenizer or a transform their files are left out. Throws Error when the layout has no such model, and
// when the folder cannot be written.
FOVEA_API void export_clip(const std::string& folder, ModelLayout layout, const ClipModel& model,
                           const text::Tokenizer* tokenizer, const image::TransformConfig* transform,
                           io::FloatFormat floats = io::FloatFormat::f32);

}  // namespace fovea::models
