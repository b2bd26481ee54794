// One step of stochastic gradient descent, written plainly: what sgd_f32 is tested against, and the f64 path.
#pragma once

#include "fovea/kernels/sgd.h"

namespace fovea::kernels {

// As sgd_f32, in any floating type.
template <class T>
void sgd_reference(const SgdStep& s, std::int64_t n, const T* g, T* w, T* m) {
  const T lr = T(s.lr), momentum = T(s.momentum), decay = T(s.weight_decay), scale = T(s.gradient_scale);
  for (std::int64_t i = 0; i < n; ++i) {
    const T d = scale * g[i] + decay * w[i];
    m[i] = momentum * m[i] + d;
    w[i] -= lr * (s.nesterov ? d + momentum * m[i] : m[i]);
  }
}

}  // namespace fovea::kernels
