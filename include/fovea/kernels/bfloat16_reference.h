// Plain definition of the conversions between f32 and bf16.
#pragma once

#include <cstdint>

#include "fovea/core/dtype.h"

namespace fovea::kernels {

inline void round_to_bf16_reference(const float* x, std::int64_t n, bfloat16* y) {
  for (std::int64_t i = 0; i < n; ++i) y[i] = bfloat16(x[i]);
}

inline void widen_bf16_reference(const bfloat16* x, std::int64_t n, float* y) {
  for (std::int64_t i = 0; i < n; ++i) y[i] = static_cast<float>(x[i]);
}

}  // namespace fovea::kernels
