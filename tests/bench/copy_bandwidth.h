// What this machine's memory could do at most.
#pragma once

#include <cstdint>

namespace fovea::bench {

// Copies n floats on the library's threads; `streaming` stores go past the caches, so that memory is not read before it
// is written.
void copy(const float* from, std::int64_t n, float* to, bool streaming);

// Bytes read and written per second by the faster of both copies, with the library's threads, between arrays that no
// cache holds: the best seen within `seconds`.
double copy_bandwidth(double seconds = 0.5);

}  // namespace fovea::bench
