// Scaling of rows to unit length.
#pragma once

#include <cstdint>

#include "fovea/core/export.h"
#include "fovea/kernels/grad_target.h"

namespace fovea::kernels {

// y = x / max(|x|, eps) for each row of (rows, width); `norm` (rows) keeps |x|.
FOVEA_API void l2_normalize_f32(const float* x, std::int64_t rows, std::int64_t width, double eps, float* y,
                                float* norm);
// dx = (dy - y <dy, y>) / |x|, or dy / eps where |x| < eps.
FOVEA_API void l2_normalize_grad_f32(const float* y, const float* norm, const float* dy, std::int64_t rows,
                                     std::int64_t width, double eps, const GradTarget<float>& dx);

}  // namespace fovea::kernels
