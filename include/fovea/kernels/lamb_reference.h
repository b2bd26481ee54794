// One LAMB update, written plainly: what the kernels are tested against, and the f64 path.
#pragma once

#include <cmath>

#include "fovea/kernels/lamb.h"

namespace fovea::kernels {

// u for one weight.
template <class T>
T lamb_update_reference(const LambStep& s, T w, T m, T v) {
  return m / T(s.correction1) / (std::sqrt(v / T(s.correction2)) + T(s.eps)) + T(s.weight_decay) * w;
}

// As lamb_moments_f32, in any floating type.
template <class T>
LambNorms lamb_moments_reference(const LambStep& s, std::int64_t n, const T* g, const T* w, T* m, T* v) {
  LambNorms norms;
  for (std::int64_t i = 0; i < n; ++i) {
    const T gradient = T(s.gradient_scale) * g[i];
    m[i] += T(1 - s.beta1) * (gradient - m[i]);
    v[i] = T(s.beta2) * v[i] + T(1 - s.beta2) * gradient * gradient;
    const T u = lamb_update_reference(s, w[i], m[i], v[i]);
    norms.weight += static_cast<double>(w[i] * w[i]);
    norms.update += static_cast<double>(u * u);
  }
  return norms;
}

// As lamb_weights_f32, in any floating type.
template <class T>
void lamb_weights_reference(const LambStep& s, double rate, std::int64_t n, const T* m, const T* v, T* w) {
  for (std::int64_t i = 0; i < n; ++i) w[i] -= T(rate) * lamb_update_reference(s, w[i], m[i], v[i]);
}

}  // namespace fovea::kernels
