// A model's parameters and buffers in a safetensors file, under their published names and layouts.
#pragma once

#include <string>
#include <vector>

#include "fovea/nn/visit.h"

namespace fovea::nn {

// An entry's tensor as files hold it: convolution weights (O, KH, KW, I) in memory are (O, I, KH, KW) there.
FOVEA_API Tensor to_file_layout(const ParamEntry& entry, const Tensor& value);
FOVEA_API Tensor from_file_layout(const ParamEntry& entry, const Tensor& stored);

// Writes every entry; an existing file is replaced only once the new one is complete.
FOVEA_API void save_parameters(const std::string& path, const std::vector<ParamEntry>& entries);

// Reads every entry, converting the element type. Throws Error naming the file and the first entries that are missing,
// unexpected or of another shape; nothing is changed then. The bookkeeping names `position_ids` and
// `num_batches_tracked` of published files are ignored.
FOVEA_API void load_parameters(const std::string& path, const std::vector<ParamEntry>& entries);

}  // namespace fovea::nn
