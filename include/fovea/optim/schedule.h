// Learning-rate schedules.
#pragma once

#include <cmath>
#include <cstdint>

namespace fovea::optim {

// Linear warm-up, then a half cosine to zero (Loshchilov & Hutter 2017, eq. 5; open_clip's `cosine`). `step` counts
// optimiser steps from 0 and is asked before the step: warm-up gives base * (step + 1) / warmup, and the rate would
// reach zero at step = total.
struct WarmupCosine {
  double base = 1e-3;
  std::int64_t warmup = 0, total = 1;

  double operator()(std::int64_t step) const {
    if (step < warmup) return base * static_cast<double>(step + 1) / static_cast<double>(warmup);
    const double progress = static_cast<double>(step - warmup) / static_cast<double>(total > warmup ? total - warmup : 1);
    return 0.5 * (1 + std::cos(3.14159265358979323846 * std::fmin(progress, 1.0))) * base;
  }
};

}  // namespace fovea::optim
