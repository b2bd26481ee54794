// Affine map with a fused activation and residual.
#pragma once

#include "fovea/autograd/saved.h"
#include "fovea/autograd/var.h"
#include "fovea/ops/activation.h"
#include "fovea/ops/detail/product.h"
#include "fovea/ops/detail/saved_for.h"

namespace fovea::ops {

namespace detail {

// The gradient of x W^T + b from that of its activation, over it where that is possible.
inline Tensor before_activation(Activation kind, const SavedActivation& before, const Tensor& dy, const Grads& g) {
  const Tensor x = before.restore();
  Tensor dx = g.in_place_of_dy();
  dispatch_floating(dy.dtype(), "linear", [&]<class T>() {
    activation_grad(kind, x.data<T>(), dy.data<T>(), dy.numel(), dx.mutable_data<T>());
  });
  return dx;
}

}  // namespace detail

// residual + activation(x W^T + b): x (..., in), weight (out, in), bias (out) or undefined, residual (..., out) or
// undefined -> (..., out). Keeps x, and the values before the activation if there is one, from which the result is made
// again. Throws Error when shapes or element types do not fit.
inline Var linear(const Var& x, const Var& weight, const Var& bias = {}, Activation activation = Activation::none,
                  const Var& residual = {}) {
  FOVEA_CHECK(x.rank() >= 1 && weight.rank() == 2, "[linear] input ", x.shape(), " and weight ", weight.shape(),
              ", expected (..., in) and (out, in)");
  const std::int64_t in = weight.dim(1), out = weight.dim(0), rows = x.shape().outer(-1);
  FOVEA_CHECK(x.dim(-1) == in, "[linear] input has ", x.dim(-1), " features, weight expects ", in);
  FOVEA_CHECK(x.dtype() == weight.dtype(), "[linear] input is ", to_string(x.dtype()), ", weight is ",
              to_string(weight.dtype()));
  FOVEA_CHECK(!bias.defined() || bias.shape() == Shape{out}, "[linear] bias is ", bias.shape(), ", expected (", out,
              ",)");
  Shape shape = x.shape();
  shape.set(-1, out);
  FOVEA_CHECK(!residual.defined() || residual.shape() == shape, "[linear] residual is ", residual.shape(),
              ", result is ", shape);

  const bool recorded = grad_enabled() && (x.requires_grad() || weight.requires_grad() || bias.requires_grad());
  Tensor y(shape, x.dtype());
  Tensor before = recorded && activation != Activation::none ? Tensor(shape, x.dtype()) : Tensor();
  dispatch_floating(x.dtype(), "linear", [&]<class T>() {
    const kernels::Epilogue<T> epilogue{.bias = bias.defined() ? bias.value().data<T>() : nullptr,
                                        .preactivation = before.defined() ? before.mutable_data<T>() : nullptr,
                                        .activation = activation,
                                        .residual = residual.defined() ? residual.value().data<T>() : nullptr};
    detail::gemm<T>(rows, out, in, {x.value().data<T>(), in}, {weight.value().data<T>(), in, true}, y.mutable_data<T>(),
                    epilogue);
  });
  const SavedActivation kept(std::move(before));
  auto backward = [=, x = detail::saved_for(weight, x), w = detail::saved_for(x, weight.value())](const Tensor& dy,
                                                                                                  Grads& g) {
    if (g.wants(3)) g.add(3, dy);
    if (!g.wants(0) && !g.wants(1) && !g.wants(2)) return;
    const Tensor product_grad =
        activation == Activation::none ? dy : detail::before_activation(activation, kept, dy, g);
    dispatch_floating(dy.dtype(), "linear", [&]<class T>() {
      const T* grad = product_grad.data<T>();
      if (g.wants(1)) {  // before dx is there: x may be in a temporary
        const Tensor input = x.restore();
        const GradSlot dw = g.into(1);
        detail::gemm<T>(out, in, rows, {grad, out, true}, {input.data<T>(), in}, dw.data<T>(),
                        {.accumulate = dw.accumulate});
      }
      if (g.wants(2)) {
        const GradSlot db = g.into(2);
        detail::column_sum(grad, rows, out, db.data<T>(), db.accumulate);
      }
      if (g.wants(0)) {
        const GradSlot dx = g.into(0);
        detail::gemm<T>(rows, in, out, {grad, out}, {w->data<T>(), in}, dx.data<T>(), {.accumulate = dx.accumulate});
      }
    });
  };
  Recipe recipe;
  if (kept.defined() && !residual.defined()) recipe = [=] { return detail::activation_of(kept.restore(), activation); };
  return record("linear", y, {x, weight, bias, residual}, std::move(backward), std::move(recipe));
}

}  // namespace fovea::ops
