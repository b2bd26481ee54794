// Every type of model that a folder may hold: what a new family adds itself to. Private to the sources.
#pragma once

#include <string>
#include <vector>

#include "fovea/models/clip_folder.h"
#include "fovea/models/run_hf.h"

namespace fovea::models::detail {

struct ModelKind {
  const char* type;  // as Hugging Face's config.json calls it ("model_type"), and the library's own ("type")

  io::TensorMap (*run)(const std::string& folder, ModelLayout layout, const io::TensorMap& inputs,
                       const RunOptions& options);
  // Returns what the new folder lacks because the old one does: "tokenizer", "preprocessor".
  std::vector<std::string> (*rewrite)(const std::string& from, const std::string& to, ModelLayout layout,
                                      io::FloatFormat floats);
};

// The kind of a folder's model. Throws Error for an unknown one.
const ModelKind& model_kind(const std::string& folder, const FolderKind& kind);

io::TensorMap run_clip(const std::string& folder, ModelLayout layout, const io::TensorMap& inputs,
                       const RunOptions& options);
std::vector<std::string> rewrite_clip(const std::string& from, const std::string& to, ModelLayout layout,
                                      io::FloatFormat floats);
io::TensorMap run_efficientnet(const std::string& folder, ModelLayout layout, const io::TensorMap& inputs,
                               const RunOptions& options);
std::vector<std::string> rewrite_efficientnet(const std::string& from, const std::string& to, ModelLayout layout,
                                              io::FloatFormat floats);

io::TensorMap run_bert(const std::string& folder, ModelLayout layout, const io::TensorMap& inputs,
                       const RunOptions& options);
std::vector<std::string> rewrite_bert(const std::string& from, const std::string& to, ModelLayout layout,
                                      io::FloatFormat floats);

}  // namespace fovea::models::detail
