// Layer normalisation.
#pragma once

#include "fovea/autograd/saved.h"
#include "fovea/autograd/var.h"
#include "fovea/kernels/layer_norm.h"
#include "fovea/kernels/layer_norm_reference.h"
#include "fovea/ops/detail/grad_target.h"

namespace fovea::ops {

// Normalises over the last axis, then scales and shifts: x (..., D) -> (..., D), weight (D) and bias (D), either of
// which may be undefined (Ba et al. 2016, eq. 4). Keeps x and two numbers per row. Throws Error when widths differ.
inline Var layer_norm(const Var& x, const Var& weight, const Var& bias, double eps) {
  FOVEA_CHECK(x.rank() >= 1, "[layer_norm] input is a scalar, expected (..., D)");
  const std::int64_t width = x.dim(-1), rows = x.shape().outer(-1);
  FOVEA_CHECK(!weight.defined() || weight.shape() == Shape{width}, "[layer_norm] input has ", width,
              " features, weight is ", weight.shape(), ", expected (", width, ",)");
  FOVEA_CHECK(!bias.defined() || bias.shape() == Shape{width}, "[layer_norm] input has ", width, " features, bias is ",
              bias.shape(), ", expected (", width, ",)");
  Tensor y(x.shape(), x.dtype()), mean({rows}, x.dtype()), rstd({rows}, x.dtype());
  dispatch_floating(x.dtype(), "layer_norm", [&]<class T>() {
    const kernels::LayerNormArgs<T> args{rows,
                                         width,
                                         eps,
                                         x.value().data<T>(),
                                         detail::data_or_null<T>(weight.value()),
                                         detail::data_or_null<T>(bias.value()),
                                         y.mutable_data<T>(),
                                         mean.mutable_data<T>(),
                                         rstd.mutable_data<T>()};
    if constexpr (std::is_same_v<T, float>) {
      kernels::layer_norm_f32(args);
    } else {
      kernels::layer_norm_reference(args);
    }
  });
  return record("layer_norm", y, {x, weight, bias},
                [=, x = Saved(x.value()), weight = Saved(weight.value())](const Tensor& dy, Grads& g) {
                  dispatch_floating(dy.dtype(), "layer_norm", [&]<class T>() {
                    const kernels::LayerNormGradArgs<T> args{rows,
                                                             width,
                                                             x->data<T>(),
                                                             detail::data_or_null<T>(weight),
                                                             mean.data<T>(),
                                                             rstd.data<T>(),
                                                             dy.data<T>(),
                                                             detail::grad_target<T>(g, 0),
                                                             detail::grad_target<T>(g, 1),
                                                             detail::grad_target<T>(g, 2)};
                    if constexpr (std::is_same_v<T, float>) {
                      kernels::layer_norm_grad_f32(args);
                    } else {
                      kernels::layer_norm_grad_reference(args);
                    }
                  });
                });
}

}  // namespace fovea::ops
