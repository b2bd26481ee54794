// Dropout by counter-based random numbers, so that forward and backward draw the same ones and nothing is kept.
#pragma once

#include <cstdint>

#include "fovea/core/export.h"
#include "fovea/core/rng.h"
#include "fovea/kernels/grad_target.h"

namespace fovea::kernels {

// y[i] = x[i] / (1 - p) where the i-th uniform number of the key is at least p, 0 elsewhere: word i % 4 of
// philox(key, i / 4). The same call with dy and dx is the gradient.
FOVEA_API void dropout_f32(const float* x, std::int64_t n, RngKey key, double p, const GradTarget<float>& y);

// The same for each run of elements [begin, end) = [offsets[b] * width, offsets[b + 1] * width) with its own key; i
// counts from the run's begin.
FOVEA_API void dropout_segments_f32(const float* x, const std::int64_t* offsets, const RngKey* keys,
                                    std::int64_t segments, std::int64_t width, double p, const GradTarget<float>& y);

}  // namespace fovea::kernels
