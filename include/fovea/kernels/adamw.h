// One AdamW update.
#pragma once

#include <cstdint>

#include "fovea/core/export.h"

namespace fovea::kernels {

// Numbers of one step, the same for every weight of a run.
struct AdamWStep {
  double lr, beta1, beta2, eps, weight_decay;
  double correction1, correction2;  // 1 - beta^t for each moment
  double gradient_scale;            // multiplies every gradient first
};

// In one pass over n weights w with gradients g and moments m, v (Loshchilov & Hutter 2019, algorithm 2, in PyTorch's
// order): w *= 1 - lr weight_decay; m += (1 - beta1) (g - m); v = beta2 v + (1 - beta2) g^2;
// w -= lr / correction1 * m / (sqrt(v / correction2) + eps).
FOVEA_API void adamw_f32(const AdamWStep& step, std::int64_t n, const float* g, float* w, float* m, float* v);

}  // namespace fovea::kernels
