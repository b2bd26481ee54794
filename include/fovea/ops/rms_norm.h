// Root-mean-square normalisation.
#pragma once

#include "fovea/autograd/saved.h"
#include "fovea/autograd/var.h"
#include "fovea/kernels/rms_norm.h"
#include "fovea/kernels/rms_norm_reference.h"
#include "fovea/ops/detail/grad_target.h"

namespace fovea::ops {

namespace detail {

// The result, and each row's 1 / sqrt(mean(x^2) + eps).
struct RmsNormValue {
  Tensor y, rstd;
};
inline RmsNormValue rms_norm_value(const Tensor& x, const Tensor& weight, double eps) {
  const std::int64_t rows = x.shape().outer(-1);
  RmsNormValue value{Tensor(x.shape(), x.dtype()), Tensor({rows}, x.dtype())};
  dispatch_floating(x.dtype(), "rms_norm", [&]<class T>() {
    const kernels::RmsNormArgs<T> args{rows,
                                       x.dim(-1),
                                       eps,
                                       x.data<T>(),
                                       data_or_null<T>(weight),
                                       value.y.mutable_data<T>(),
                                       value.rstd.mutable_data<T>()};
    if constexpr (std::is_same_v<T, float>) {
      kernels::rms_norm_f32(args);
    } else {
      kernels::rms_norm_reference(args);
    }
  });
  return value;
}

}  // namespace detail

// x / sqrt(mean(x^2) + eps) * weight over the last axis: x (..., D) -> (..., D), weight (D) or undefined (Zhang &
// Sennrich 2019, eq. 4). Keeps x, from which the result is made again, and a number per row. Throws Error when widths
// differ.
inline Var rms_norm(const Var& x, const Var& weight, double eps) {
  FOVEA_CHECK(x.rank() >= 1, "[rms_norm] input is a scalar, expected (..., D)");
  const std::int64_t width = x.dim(-1), rows = x.shape().outer(-1);
  FOVEA_CHECK(!weight.defined() || weight.shape() == Shape{width}, "[rms_norm] input has ", width,
              " features, weight is ", weight.shape(), ", expected (", width, ",)");
  const auto [y, rstd] = detail::rms_norm_value(x.value(), weight.value(), eps);
  const SavedActivation kept(x);
  const Saved gain(weight.value());
  auto backward = [rows, width, kept, gain, rstd = rstd](const Tensor& dy, Grads& g) {
    const Tensor input = kept.restore();
    dispatch_floating(dy.dtype(), "rms_norm", [&]<class T>() {
      const kernels::RmsNormGradArgs<T> args{rows,
                                             width,
                                             input.data<T>(),
                                             detail::data_or_null<T>(gain),
                                             rstd.data<T>(),
                                             dy.data<T>(),
                                             detail::grad_target<T>(g, 0),
                                             detail::grad_target<T>(g, 1)};
      if constexpr (std::is_same_v<T, float>) {
        kernels::rms_norm_grad_f32(args);
      } else {
        kernels::rms_norm_grad_reference(args);
      }
    });
  };
  return record("rms_norm", y, {x, weight}, std::move(backward),
                [=] { return detail::rms_norm_value(kept.restore(), gain, eps).y; });
}

}  // namespace fovea::ops
