// Scaling of rows to unit length, plainly: the definition of the kernel, and the f64 path.
#pragma once

#include <cmath>

#include "fovea/kernels/normalize.h"

namespace fovea::kernels {

template <class T>
void l2_normalize_reference(const T* x, std::int64_t rows, std::int64_t width, double eps, T* y, T* norm) {
  for (std::int64_t r = 0; r < rows; ++r) {
    T squares = 0;
    for (std::int64_t i = r * width; i < (r + 1) * width; ++i) squares += x[i] * x[i];
    norm[r] = std::sqrt(squares);
    const T divisor = norm[r] < static_cast<T>(eps) ? static_cast<T>(eps) : norm[r];
    for (std::int64_t i = r * width; i < (r + 1) * width; ++i) y[i] = x[i] / divisor;
  }
}

template <class T>
void l2_normalize_grad_reference(const T* y, const T* norm, const T* dy, std::int64_t rows, std::int64_t width,
                                 double eps, const GradTarget<T>& dx) {
  for (std::int64_t r = 0; r < rows; ++r) {
    const bool clamped = norm[r] < static_cast<T>(eps);
    const T divisor = clamped ? static_cast<T>(eps) : norm[r];
    T along = 0;
    for (std::int64_t i = r * width; i < (r + 1) * width && !clamped; ++i) along += dy[i] * y[i];
    for (std::int64_t i = r * width; i < (r + 1) * width; ++i) dx.put(i, (dy[i] - y[i] * along) / divisor);
  }
}

}  // namespace fovea::kernels
