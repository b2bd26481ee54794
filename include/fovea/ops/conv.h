// Two-dimensional convolution.
#pragma once

#include "fovea/autograd/var.h"
#include "fovea/kernels/conv.h"
#include "fovea/kernels/conv_reference.h"
#include "fovea/ops/detail/product.h"
#include "fovea/ops/detail/saved_for.h"

namespace fovea::ops {

struct Conv2dOptions {
  std::int64_t stride = 1;   // of both axes
  std::int64_t padding = 0;  // zeros on every side
  std::int64_t groups = 1;
  std::int64_t end_padding = 0;  // more zeros below and to the right: TensorFlow's "same" with stride 2
};

// Cross-correlation: x (N, H, W, C), weight (O, KH, KW, C / groups), bias (O) or undefined -> (N, H', W', O) with
// H' = (H + 2 padding + end_padding - KH) / stride + 1, rounded down. Throws Error when shapes or types do not fit.
inline Var conv2d(const Var& x, const Var& weight, const Var& bias = {}, const Conv2dOptions& options = {}) {
  FOVEA_CHECK(x.rank() == 4 && weight.rank() == 4, "[conv2d] input ", x.shape(), " and weight ", weight.shape(),
              ", expected (N, H, W, C) and (O, KH, KW, C / groups)");
  FOVEA_CHECK(options.stride > 0 && options.padding >= 0 && options.end_padding >= 0 && options.groups > 0,
              "[conv2d] stride ", options.stride, ", padding ", options.padding, ", end padding ", options.end_padding,
              ", groups ", options.groups);
  FOVEA_CHECK(x.dim(3) % options.groups == 0 && weight.dim(0) % options.groups == 0 &&
                  weight.dim(3) == x.dim(3) / options.groups,
              "[conv2d] input has ", x.dim(3), " channels, weight ", weight.shape(), " with ", options.groups,
              " groups expects ", weight.dim(3) * options.groups, "\nhint: images are (N, H, W, C) here");
  FOVEA_CHECK(weight.value().numel() > 0, "[conv2d] weight ", weight.shape(), " is empty");
  FOVEA_CHECK(x.dtype() == weight.dtype(), "[conv2d] input is ", to_string(x.dtype()), ", weight is ",
              to_string(weight.dtype()));
  FOVEA_CHECK(!bias.defined() || bias.shape() == Shape{weight.dim(0)}, "[conv2d] bias is ", bias.shape(),
              ", expected (", weight.dim(0), ",)");
  const kernels::Conv2dShape s{x.dim(0),        x.dim(1),       x.dim(2),           x.dim(3),
                               weight.dim(0),   weight.dim(1),  weight.dim(2),      options.stride,
                               options.padding, options.groups, options.end_padding};
  FOVEA_CHECK(s.padded_h() >= s.kh && s.padded_w() >= s.kw, "[conv2d] input ", x.shape(), " with padding ",
              options.padding, " is smaller than the filter ", s.kh, "x", s.kw);
  Tensor y({s.n, s.out_h(), s.out_w(), s.o}, x.dtype());
  dispatch_floating(x.dtype(), "conv2d", [&]<class T>() {
    const T *px = x.value().data<T>(), *pw = weight.value().data<T>();
    const T* pb = bias.defined() ? bias.value().data<T>() : nullptr;
    if constexpr (std::is_same_v<T, float>) {
      kernels::conv2d_f32(s, px, pw, pb, y.mutable_data<T>());
    } else {
      kernels::conv2d_reference<T>(s, px, pw, pb, y.mutable_data<T>());
    }
  });
  return record(
      "conv2d", y, {x, weight, bias},
      [=, x = detail::saved_for(weight, x), w = detail::saved_for(x, weight.value())](const Tensor& dy, Grads& g) {
        dispatch_floating(dy.dtype(), "conv2d", [&]<class T>() {
          const T* grad = dy.data<T>();
          if (g.wants(0)) {
            const GradSlot dx = g.into(0);
            if constexpr (std::is_same_v<T, float>) {
              kernels::conv2d_input_grad_f32(s, grad, w->data<T>(), dx.data<T>(), dx.accumulate);
            } else {
              kernels::conv2d_input_grad_reference<T>(s, grad, w->data<T>(), dx.data<T>(), dx.accumulate);
            }
          }
          if (g.wants(1)) {
            const Tensor input = x.restore();
            const GradSlot dw = g.into(1);
            if constexpr (std::is_same_v<T, float>) {
              kernels::conv2d_weight_grad_f32(s, input.data<T>(), grad, dw.data<T>(), dw.accumulate);
            } else {
              kernels::conv2d_weight_grad_reference<T>(s, input.data<T>(), grad, dw.data<T>(), dw.accumulate);
            }
          }
          if (g.wants(2)) {
            const GradSlot db = g.into(2);
            detail::column_sum(grad, s.pixels(), s.o, db.data<T>(), db.accumulate);
          }
        });
      });
}

}  // namespace fovea::ops
