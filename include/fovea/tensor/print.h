// Tensors as text.
#pragma once

#include <string>

#include "fovea/tensor/tensor.h"

namespace fovea {

// "f32 (2, 3) [1, 2, 3, 4, 5, 6]"; long tensors show their first and last elements.
FOVEA_API std::string to_string(const Tensor& tensor);

}  // namespace fovea
