// What this machine can do at most.
#pragma once

#include "fovea/core/export.h"

namespace fovea::kernels {

// Rates of num_threads() threads together.
struct Roofline {
  double flops = 0;  // per second: multiply-adds in registers, two operations each
  double bytes = 0;  // per second: copying what no cache holds, bytes read and bytes written

  // Seconds that so much work takes at least.
  double seconds(double work_flops, double work_bytes) const {
    const double computing = work_flops / flops, moving = work_bytes / bytes;
    return computing > moving ? computing : moving;
  }
};

// Takes about half a second, and 256 MB.
FOVEA_API Roofline measure_roofline();

// Operations per second of the calling thread alone.
FOVEA_API double fma_peak(double seconds = 0.2);

}  // namespace fovea::kernels
