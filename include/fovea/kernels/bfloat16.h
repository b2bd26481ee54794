// Conversion of arrays between f32 and bf16.
#pragma once

#include <cstdint>

#include "fovea/core/dtype.h"
#include "fovea/core/export.h"

namespace fovea::kernels {

// y[i] = x[i] rounded to the nearest bf16, ties to even; NaN stays NaN.
FOVEA_API void round_to_bf16(const float* x, std::int64_t n, bfloat16* y);

// y[i] = x[i], exactly.
FOVEA_API void widen_bf16(const bfloat16* x, std::int64_t n, float* y);

}  // namespace fovea::kernels
