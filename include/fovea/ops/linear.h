// Affine map with a fused activation and residual.
#pragma once

#include "fovea/autograd/saved.h"
#include "fovea/autograd/var.h"
#include "fovea/ops/detail/product.h"
#include "fovea/ops/detail/saved_for.h"

namespace fovea::ops {

// residual + activation(x W^T + b): x (..., in), weight (out, in), bias (out) or undefined, residual (..., out) or
// undefined -> (..., out). Keeps x, and the values before the activation if there is one. Throws Error when shapes or
// element types do not fit.
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
  return record("linear", y, {x, weight, bias, residual},
                [=, x = detail::saved_for(weight, x.value()), w = detail::saved_for(x, weight.value()),
                 before = Saved(before)](const Tensor& dy, Grads& g) {
                  if (g.wants(3)) g.add(3, dy);
                  if (!g.wants(0) && !g.wants(1) && !g.wants(2)) return;
                  dispatch_floating(dy.dtype(), "linear", [&]<class T>() {
                    Tensor product_grad = dy;  // of x W^T + b
                    if (activation != Activation::none) {
                      product_grad = Tensor(dy.shape(), dy.dtype());
                      detail::activation_grad(activation, before->data<T>(), dy.data<T>(), dy.numel(),
                                              product_grad.mutable_data<T>());
                    }
                    const T* grad = std::as_const(product_grad).template data<T>();
                    if (g.wants(0)) {
                      const GradSlot dx = g.into(0);
                      detail::gemm<T>(rows, in, out, {grad, out}, {w->data<T>(), in}, dx.data<T>(),
                                      {.accumulate = dx.accumulate});
                    }
                    if (g.wants(1)) {
                      const GradSlot dw = g.into(1);
                      detail::gemm<T>(out, in, rows, {grad, out, true}, {x->data<T>(), in}, dw.data<T>(),
                                      {.accumulate = dw.accumulate});
                    }
                    if (g.wants(2)) {
                      const GradSlot db = g.into(2);
                      detail::column_sum(grad, rows, out, db.data<T>(), db.accumulate);
                    }
                  });
                });
}

}  // namespace fovea::ops
