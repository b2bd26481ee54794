// Sums and maxima over one axis. Every array is seen as (outer, count, inner), and the middle axis is reduced.
#pragma once

#include <cstdint>

#include "fovea/core/export.h"

namespace fovea::kernels {

// out (outer, inner) (+)= sum of x over the middle axis; 0 when count is 0. Blocks of fixed size are summed first and
// then their sums, so the bits do not depend on the number of threads and errors grow slowly with the count.
FOVEA_API void sum_axis_f32(const float* x, std::int64_t outer, std::int64_t count, std::int64_t inner, float* out,
                            bool accumulate);

// As sum_axis_f32, of the products x z.
FOVEA_API void dot_axis_f32(const float* x, const float* z, std::int64_t outer, std::int64_t count, std::int64_t inner,
                            float* out, bool accumulate);

// out (outer, inner) = maximum over the middle axis, NaN where there is one; count is at least 1.
FOVEA_API void max_axis_f32(const float* x, std::int64_t outer, std::int64_t count, std::int64_t inner, float* out);

// out (cols) (+)= sum over the rows of x (rows, cols): the gradient of a bias.
FOVEA_API void column_sum_f32(const float* x, std::int64_t rows, std::int64_t cols, float* out, bool accumulate);

// Sum of squares, in f64.
FOVEA_API double squared_norm_f32(const float* x, std::int64_t n);

}  // namespace fovea::kernels
