// Dropout, plainly: the definition of the kernel, and the f64 path.
#pragma once

#include "fovea/kernels/dropout.h"

namespace fovea::kernels {

template <class T>
void dropout_reference(const T* x, std::int64_t n, RngKey key, double p, const GradTarget<T>& y) {
  const T scale = static_cast<T>(1 / (1 - p));
  for (std::int64_t i = 0; i < n; ++i) {
    const auto words = philox(key, static_cast<std::uint64_t>(i / 4));
    const bool kept = uniform_from_bits(words[static_cast<std::size_t>(i % 4)]) >= p;
    y.put(i, kept ? scale * x[i] : T(0));
  }
}

template <class T>
void dropout_segments_reference(const T* x, const std::int64_t* offsets, const RngKey* keys, std::int64_t segments,
                                std::int64_t width, double p, const GradTarget<T>& y) {
  for (std::int64_t b = 0; b < segments; ++b) {
    const std::int64_t begin = offsets[b] * width, end = offsets[b + 1] * width;
    dropout_reference(x + begin, end - begin, keys[b], p, GradTarget<T>{y.data + begin, y.accumulate});
  }
}

}  // namespace fovea::kernels
