// A model's parameters and buffers in a safetensors file, under their published names and layouts.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fovea/io/safetensors.h"
#include "fovea/nn/visit.h"

namespace fovea::nn {

// An entry's tensor as files hold it: convolution weights (O, KH, KW, I) in memory are (O, I, KH, KW) there.
FOVEA_API Tensor to_file_layout(const ParamEntry& entry, const Tensor& value);
FOVEA_API Tensor from_file_layout(const ParamEntry& entry, const Tensor& stored);

// One tensor of a parameter file, and what it holds of a model.
struct FOVEA_API FileTensor {
  std::string name;
  std::vector<ParamEntry> parts;  // one entry, or several of equal shape that the file stores one below the other
  bool transposed = false;        // a matrix that the file stores as (in, out)
  std::optional<Shape> as{};      // the shape that the file gives the same numbers

  Shape shape() const;      // in the file
  Tensor value() const;     // as the file holds it
  Tensor gradient() const;  // in the same layout; zeros where none has arrived
};

// One file tensor per entry, under the native names.
FOVEA_API std::vector<FileTensor> native_tensors(const std::vector<ParamEntry>& entries);

// Writes every tensor; an existing file is replaced only once the new one is complete.
FOVEA_API void save_parameters(const std::string& path, const std::vector<FileTensor>& tensors,
                               io::FloatFormat floats = io::FloatFormat::f32);
FOVEA_API void save_parameters(const std::string& path, const std::vector<ParamEntry>& entries);

// Sets every tensor from those of a file at `path`, converting the element type. Throws Error naming the file and the
// first tensors that are missing, unexpected or of another shape; nothing is changed then. The bookkeeping names
// `position_ids` and `num_batches_tracked` of published files are ignored.
FOVEA_API void load_parameters(const std::string& path, const io::TensorMap& file,
                               const std::vector<FileTensor>& tensors);
// As above; reads the file, whose names are the native ones.
FOVEA_API void load_parameters(const std::string& path, const std::vector<ParamEntry>& entries);

}  // namespace fovea::nn
