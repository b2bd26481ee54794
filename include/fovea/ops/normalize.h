// Scaling to unit length.
#pragma once

#include "fovea/autograd/saved.h"
#include "fovea/autograd/var.h"
#include "fovea/kernels/normalize.h"
#include "fovea/kernels/normalize_reference.h"
#include "fovea/ops/detail/grad_target.h"

namespace fovea::ops {

// x / max(|x|, eps) over the last axis, as torch.nn.functional.normalize: (..., D) -> (..., D). Keeps the result and
// one number per row. Throws Error for a scalar.
inline Var l2_normalize(const Var& x, double eps = 1e-12) {
  FOVEA_CHECK(x.rank() >= 1, "[l2_normalize] input is a scalar, expected (..., D)");
  const std::int64_t width = x.dim(-1), rows = x.shape().outer(-1);
  Tensor y(x.shape(), x.dtype()), norm({rows}, x.dtype());
  dispatch_floating(x.dtype(), "l2_normalize", [&]<class T>() {
    const T* in = x.value().data<T>();
    if constexpr (std::is_same_v<T, float>) {
      kernels::l2_normalize_f32(in, rows, width, eps, y.mutable_data<T>(), norm.mutable_data<T>());
    } else {
      kernels::l2_normalize_reference(in, rows, width, eps, y.mutable_data<T>(), norm.mutable_data<T>());
    }
  });
  return record("l2_normalize", y, {x}, [=, y = Saved(y)](const Tensor& dy, Grads& g) {
    dispatch_floating(dy.dtype(), "l2_normalize", [&]<class T>() {
      const kernels::GradTarget<T> dx = detail::grad_target<T>(g, 0);
      if constexpr (std::is_same_v<T, float>) {
        kernels::l2_normalize_grad_f32(y->data<T>(), norm.data<T>(), dy.data<T>(), rows, width, eps, dx);
      } else {
        kernels::l2_normalize_grad_reference(y->data<T>(), norm.data<T>(), dy.data<T>(), rows, width, eps, dx);
      }
    });
  });
}

}  // namespace fovea::ops
