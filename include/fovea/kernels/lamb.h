// One LAMB update of one tensor, in two passes.
#pragma once

#include <cstdint>

#include "fovea/core/export.h"

namespace fovea::kernels {

// Numbers of one step, the same for every weight of a tensor.
struct LambStep {
  double beta1, beta2, eps, weight_decay;
  double correction1, correction2;  // 1 - beta^t for each moment
  double gradient_scale;            // multiplies every gradient first
};

// Squared 2-norms of a tensor's weights and of its update.
struct LambNorms {
  double weight = 0, update = 0;
};

// The moments m, v of n weights w move by their gradients g as in AdamW (You et al. 2020, algorithm 2). Returns the
// norms of w and of the update u = (m / correction1) / (sqrt(v / correction2) + eps) + weight_decay w.
FOVEA_API LambNorms lamb_moments_f32(const LambStep& step, std::int64_t n, const float* g, const float* w, float* m,
                                     float* v);

// w -= rate * u with the new moments; rate is the learning rate times the trust ratio.
FOVEA_API void lamb_weights_f32(const LambStep& step, double rate, std::int64_t n, const float* m, const float* v,
                                float* w);

}  // namespace fovea::kernels
