// Files of named tensors in Hugging Face's safetensors format: a length, a JSON header, then the elements
// (github.com/huggingface/safetensors, README.md, "Format").
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "fovea/core/export.h"
#include "fovea/tensor/tensor.h"

namespace fovea::io {

using TensorMap = std::map<std::string, Tensor>;
using Metadata = std::map<std::string, std::string>;

// Reads every tensor of a file. F32, F64, BF16, I32, I64 and U8 keep their type, F16 is widened to f32 and BOOL becomes
// u8. Throws Error naming the file, the tensor and the byte when the header is malformed, when a tensor's bytes do not
// fit its type and shape, when the tensors leave holes, overlap or run past the end, and for other element types.
FOVEA_API TensorMap load_safetensors(const std::string& path);
// As load_safetensors, from a file's bytes; `name` stands for the file in errors.
FOVEA_API TensorMap parse_safetensors(std::string_view contents, std::string_view name = "memory");

// The file's `__metadata__`; empty when it has none. Reads and checks the header alone.
FOVEA_API Metadata load_safetensors_metadata(const std::string& path);

// How f32 tensors are written.
enum class FloatFormat : std::uint8_t { f32, bf16, f16 };

// Writes tensors so that the data begins at a multiple of 8 bytes and each tensor at a multiple of its element: wider
// types first, then by name. An existing file is replaced only once the new one is complete. Throws Error when a tensor
// is undefined, a name is reserved or text is not UTF-8, and when the file cannot be written. Narrower formats round to
// the nearest number, ties to even; f16 makes numbers beyond 65504 infinite.
FOVEA_API void save_safetensors(const std::string& path, const TensorMap& tensors, const Metadata& metadata = {},
                                FloatFormat floats = FloatFormat::f32);

// Reads the files that an index such as model.safetensors.index.json names in its "weight_map" (tensor name -> file in
// the same folder) as one. Throws Error as load_safetensors does, and when index and files do not agree.
FOVEA_API TensorMap load_sharded_safetensors(const std::string& index_path);

}  // namespace fovea::io
