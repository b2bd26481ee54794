// One AdamW update, written plainly: what adamw_f32 is tested against, and the f64 path.
#pragma once

#include <cmath>

#include "fovea/kernels/adamw.h"

namespace fovea::kernels {

// As adamw_f32, in any floating type.
template <class T>
void adamw_reference(const AdamWStep& s, std::int64_t n, const T* g, T* w, T* m, T* v) {
  const T keep = T(1 - s.lr * s.weight_decay), rate = T(s.lr / s.correction1), root = T(std::sqrt(s.correction2));
  for (std::int64_t i = 0; i < n; ++i) {
    const T gradient = T(s.gradient_scale) * g[i];
    m[i] += T(1 - s.beta1) * (gradient - m[i]);
    v[i] = T(s.beta2) * v[i] + T(1 - s.beta2) * gradient * gradient;
    w[i] = keep * w[i] - rate * m[i] / (std::sqrt(v[i]) / root + T(s.eps));
  }
}

}  // namespace fovea::kernels
