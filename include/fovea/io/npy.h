// NumPy's files of one array (numpy/lib/format.py: magic, version, a header in Python's notation, the elements).
#pragma once

#include <string>
#include <string_view>

#include "fovea/core/export.h"
#include "fovea/tensor/tensor.h"

namespace fovea::io {

// Reads an array that numpy.save wrote (format versions 1 to 3). float32, float64, int32, int64 and uint8 keep their
// type, float16 is widened to f32 and bool becomes u8; arrays in Fortran order are transposed into rows. Throws Error
// naming the file and the byte when the header is malformed, the elements are fewer or more than the shape says, and
// for other element types, big-endian ones among them.
FOVEA_API Tensor load_npy(const std::string& path);
// As load_npy, from a file's bytes; `name` stands for the file in errors.
FOVEA_API Tensor parse_npy(std::string_view contents, std::string_view name = "memory");

// Writes an array that numpy.load reads (version 1, C order). An existing file is replaced only once the new one is
// complete. Throws Error when the tensor is undefined or bf16, which NumPy lacks, and when the file cannot be written.
FOVEA_API void save_npy(const std::string& path, const Tensor& tensor);

}  // namespace fovea::io
