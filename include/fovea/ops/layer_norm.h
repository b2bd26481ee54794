// Layer normalisation.
#pragma once

#include "fovea/autograd/saved.h"
#include "fovea/autograd/var.h"
#include "fovea/kernels/layer_norm.h"
#include "fovea/kernels/layer_norm_reference.h"
#include "fovea/ops/detail/grad_target.h"

namespace fovea::ops {

namespace detail {

// The result, and each row's mean and 1 / sqrt(variance + eps).
struct LayerNormValue {
  Tensor y, mean, rstd;
};
inline LayerNormValue layer_norm_value(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  const std::int64_t rows = x.shape().outer(-1);
  LayerNormValue value{Tensor(x.shape(), x.dtype()), Tensor({rows}, x.dtype()), Tensor({rows}, x.dtype())};
  dispatch_floating(x.dtype(), "layer_norm", [&]<class T>() {
    const kernels::LayerNormArgs<T> args{rows,
                                         x.dim(-1),
                                         eps,
                                         x.data<T>(),
                                         data_or_null<T>(weight),
                                         data_or_null<T>(bias),
                                         value.y.mutable_data<T>(),
                                         value.mean.mutable_data<T>(),
                                         value.rstd.mutable_data<T>()};
    if constexpr (std::is_same_v<T, float>) {
      kernels::layer_norm_f32(args);
    } else {
      kernels::layer_norm_reference(args);
    }
  });
  return value;
}

}  // namespace detail

// Normalises over the last axis, then scales and shifts: x (..., D) -> (..., D), weight (D) and bias (D), either of
// which may be undefined (Ba et al. 2016, eq. 4). Keeps x, from which the result is made again, and two numbers per
// row. Throws Error when widths differ.
inline Var layer_norm(const Var& x, const Var& weight, const Var& bias, double eps) {
  FOVEA_CHECK(x.rank() >= 1, "[layer_norm] input is a scalar, expected (..., D)");
  const std::int64_t width = x.dim(-1), rows = x.shape().outer(-1);
  FOVEA_CHECK(!weight.defined() || weight.shape() == Shape{width}, "[layer_norm] input has ", width,
              " features, weight is ", weight.shape(), ", expected (", width, ",)");
  FOVEA_CHECK(!bias.defined() || bias.shape() == Shape{width}, "[layer_norm] input has ", width, " features, bias is ",
              bias.shape(), ", expected (", width, ",)");
  const auto [y, mean, rstd] = detail::layer_norm_value(x.value(), weight.value(), bias.value(), eps);
  const SavedActivation kept(x);
  const Saved gain(weight.value()), shift(bias.value());
  auto backward = [rows, width, kept, gain, mean = mean, rstd = rstd](const Tensor& dy, Grads& g) {
    const Tensor input = kept.restore();
    dispatch_floating(dy.dtype(), "layer_norm", [&]<class T>() {
      const kernels::LayerNormGradArgs<T> args{rows,
                                               width,
                                               input.data<T>(),
                                               detail::data_or_null<T>(gain),
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
  };
  return record("layer_norm", y, {x, weight, bias}, std::move(backward),
                [=] { return detail::layer_norm_value(kept.restore(), gain, shift, eps).y; });
}

}  // namespace fovea::ops
