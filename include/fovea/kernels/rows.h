// Taking rows of a matrix by number, adding to them, and means over runs of rows.
#pragma once

#include <cstdint>

#include "fovea/core/export.h"
#include "fovea/kernels/grad_target.h"

namespace fovea::kernels {

// out[i] = table[rows[i]] for `count` rows of `row_bytes` bytes.
FOVEA_API void gather_rows(const void* table, const std::int64_t* rows, std::int64_t count, std::int64_t row_bytes,
                           void* out);

// The gradient of gather: dtable[rows[i]] += dy[i], in the order of i for every row, whatever the thread count. dtable
// is (table_rows, width); rows that nothing names become zero, or stay as they are when accumulating.
FOVEA_API void scatter_add_rows_f32(const float* dy, const std::int64_t* rows, std::int64_t count, std::int64_t width,
                                    std::int64_t table_rows, const GradTarget<float>& dtable);

// y[b] = mean of the rows [offsets[b], offsets[b + 1]) of x (T, width), zero when there are none.
FOVEA_API void segment_mean_f32(const float* x, const std::int64_t* offsets, std::int64_t segments, std::int64_t width,
                                float* y);

// y[t] = factors[b] * x[t] for the rows t of segment b.
FOVEA_API void scale_segments_f32(const float* x, const std::int64_t* offsets, const float* factors,
                                  std::int64_t segments, std::int64_t width, const GradTarget<float>& y);

// y[t] = factors[b] * x[b] for the rows t of segment b: the gradient of segment_mean.
FOVEA_API void spread_to_segments_f32(const float* x, const std::int64_t* offsets, const float* factors,
                                      std::int64_t segments, std::int64_t width, const GradTarget<float>& y);

}  // namespace fovea::kernels
