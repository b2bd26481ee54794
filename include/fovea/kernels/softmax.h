// Softmax and its logarithm over contiguous rows.
#pragma once

#include <cstdint>

#include "fovea/core/export.h"

namespace fovea::kernels {

// y_ij = e^(x_ij) / sum_k e^(x_ik) for x, y (rows, n); y may be x. NaN and infinity give NaN, never a plain number.
FOVEA_API void softmax_forward_f32(const float* x, std::int64_t rows, std::int64_t n, float* y);
// dx (+)= y (dy - sum_k dy_k y_k), from the result y.
FOVEA_API void softmax_backward_f32(const float* y, const float* dy, std::int64_t rows, std::int64_t n, float* dx,
                                    bool accumulate);

// y_ij = x_ij - log sum_k e^(x_ik); y may be x.
FOVEA_API void log_softmax_forward_f32(const float* x, std::int64_t rows, std::int64_t n, float* y);
// dx (+)= dy - e^y sum_k dy_k, from the result y.
FOVEA_API void log_softmax_backward_f32(const float* y, const float* dy, std::int64_t rows, std::int64_t n, float* dx,
                                        bool accumulate);

}  // namespace fovea::kernels
