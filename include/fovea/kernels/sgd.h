// One step of stochastic gradient descent with momentum.
#pragma once

#include <cstdint>

#include "fovea/core/export.h"

namespace fovea::kernels {

// Numbers of one step, the same for every weight of a run.
struct SgdStep {
  double lr, momentum, weight_decay;
  bool nesterov;
  double gradient_scale;  // multiplies every gradient first
};

// In one pass over n weights w with gradients g and the buffer m, which starts at zero (torch.optim.SGD):
// d = g + weight_decay w; m = momentum m + d; w -= lr (nesterov ? d + momentum m : m).
FOVEA_API void sgd_f32(const SgdStep& step, std::int64_t n, const float* g, float* w, float* m);

}  // namespace fovea::kernels
