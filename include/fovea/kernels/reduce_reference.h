// Reductions over one axis, written plainly: what the kernels are tested against, and the f64 path.
#pragma once

#include <cstdint>

namespace fovea::kernels {

// As dot_axis_f32, or as sum_axis_f32 when z is null, in any floating type.
template <class T>
void sum_axis_reference(const T* x, const T* z, std::int64_t outer, std::int64_t count, std::int64_t inner, T* out,
                        bool accumulate) {
  for (std::int64_t o = 0; o < outer; ++o) {
    T* total = out + o * inner;
    for (std::int64_t j = 0; !accumulate && j < inner; ++j) total[j] = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t row = (o * count + i) * inner;
      for (std::int64_t j = 0; j < inner; ++j) total[j] += z ? x[row + j] * z[row + j] : x[row + j];
    }
  }
}

template <class T>
void max_axis_reference(const T* x, std::int64_t outer, std::int64_t count, std::int64_t inner, T* out) {
  for (std::int64_t o = 0; o < outer; ++o) {
    for (std::int64_t j = 0; j < inner; ++j) {
      T largest = x[o * count * inner + j];
      for (std::int64_t i = 1; i < count; ++i) {
        const T value = x[(o * count + i) * inner + j];
        if (value > largest || value != value) largest = value;
      }
      out[o * inner + j] = largest;
    }
  }
}

template <class T>
double squared_norm_reference(const T* x, std::int64_t n) {
  double total = 0;
  for (std::int64_t i = 0; i < n; ++i) total += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return total;
}

}  // namespace fovea::kernels
