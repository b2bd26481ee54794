// Files that PyTorch's torch.save wrote (.pt, .pth, .bin): ZIP archives of a pickle and the tensors' elements.
#pragma once

#include <string>
#include <string_view>

#include "fovea/io/safetensors.h"

namespace fovea::io {

// Reads every tensor of a file, without running any of the code that a pickle can hold: opcodes and classes outside a
// closed list are refused. Dicts, lists and tuples in each other make names joined by '.', list items are named "0",
// "1", ...; a tensor saved alone is named "tensor". Numbers, text and the like are left out. float, double, bfloat16,
// int, int64 and uint8 tensors keep their type, halves are widened to f32 and bools become u8; views are made
// contiguous, and contiguous tensors that share memory in the file share it here.
//
// Throws Error naming the file and the byte for everything else: other opcodes, classes and element types, damaged
// archives, tensors that do not lie in their storage or repeat its elements, big-endian files, compressed entries;
// TorchScript archives and files written before PyTorch 1.6 with the Python command that converts them.
FOVEA_API TensorMap load_torch(const std::string& path);

// The tensors of the state dict in a file: the saved dict itself when tensors are among its values, otherwise the
// nested dict of a training checkpoint under the first of the keys state_dict, model_state_dict, model, module, net;
// the rest of the file, such as the optimizer's moments, is not read. Throws Error as load_torch, and naming the keys
// found when there is no such dict.
FOVEA_API TensorMap load_torch_state_dict(const std::string& path);

// As load_torch, from a file's bytes; `name` stands for the file in errors.
FOVEA_API TensorMap parse_torch(std::string_view contents, std::string_view name = "memory");

}  // namespace fovea::io
