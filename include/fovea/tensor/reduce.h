// Questions about a whole tensor, answered as plain numbers.
#pragma once

#include <cstdint>

#include "fovea/tensor/tensor.h"

namespace fovea {

FOVEA_API bool all_finite(const Tensor& x);                                     // no NaN or infinity
FOVEA_API double max_abs(const Tensor& x);                                      // 0 when empty
FOVEA_API double max_abs_difference(const Tensor& a, const Tensor& b);          // same shape; types may differ
FOVEA_API double sum(const Tensor& x);                                          // in f64, element by element
FOVEA_API std::int64_t count_different_bits(const Tensor& a, const Tensor& b);  // elements not equal bit for bit

}  // namespace fovea
