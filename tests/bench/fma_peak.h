// What this processor could do at most.
#pragma once

namespace fovea::bench {

// Floating-point operations per second of one thread that does nothing but f32 multiply-adds in registers, on the
// active instruction set: the best seen within `seconds`.
double fma_peak(double seconds = 0.2);

}  // namespace fovea::bench
