// Named tensors as a tree of modules: what is in a file or a model, and how large.
#pragma once

#include <string>

#include "fovea/core/export.h"
#include "fovea/io/safetensors.h"

namespace fovea::io {

// One line a module with the elements and bytes below it, and one a tensor with its type and shape. Names are cut at
// their dots; modules deeper than `depth` are summed up in their parent's line. Numbered modules come in the order of
// their numbers.
//
//        elements      bytes
//       4,120,321    16.5 MB  (whole)
//       1,049,601     4.2 MB    text_model
//       1,048,576     4.2 MB      token_embedding.weight  f32 [4096, 256]
FOVEA_API std::string tensor_tree(const TensorMap& tensors, int depth);

// The same as JSON: {"elements": ..., "bytes": ..., "children": {NAME: {...}, ...}}; tensors have "dtype" and "shape"
// instead of children.
FOVEA_API std::string tensor_tree_json(const TensorMap& tensors, int depth);

}  // namespace fovea::io
