// Differentiable reductions. `axes` are the ones to reduce (negative ones count from the end; none given means all);
// with `keepdims` they stay with extent 1. Every function throws Error for an axis that is out of range or named twice.
#pragma once

#include <cmath>
#include <initializer_list>

#include "fovea/ops/elementwise.h"

namespace fovea::ops {

namespace detail {

struct ReducedShape {
  Shape kept;          // 1 where reduced
  Shape result;        // `kept`, or without those axes
  std::int64_t count;  // numbers that make one
};

inline ReducedShape reduced_shape(const char* name, const Shape& shape, std::initializer_list<int> axes,
                                  bool keepdims) {
  bool reduced[Shape::max_rank] = {};
  for (int axis : axes) {
    const int a = axis < 0 ? axis + shape.rank() : axis;
    FOVEA_CHECK(a >= 0 && a < shape.rank(), "[", name, "] axis ", axis, " is out of range for ", shape);
    FOVEA_CHECK(!reduced[a], "[", name, "] axis ", axis, " is named twice");
    reduced[a] = true;
  }
  ReducedShape out{.kept = {}, .result = {}, .count = 1};
  for (int i = 0; i < shape.rank(); ++i) {
    const bool gone = axes.size() == 0 || reduced[i];
    out.kept.push_back(gone ? 1 : shape[i]);
    if (gone) out.count *= shape[i];
    if (!gone || keepdims) out.result.push_back(out.kept[i]);
  }
  return out;
}

inline void check_not_empty(const char* name, const ReducedShape& shape, const Shape& x) {
  FOVEA_CHECK(shape.count > 0 || shape.kept.numel() == 0, "[", name, "] no elements to reduce in ", x);
}

// scale times the sum of x, in shape `kept`.
inline Tensor sum_value(const char* name, const Tensor& x, const Shape& kept, double scale) {
  Tensor y = summed(name, x, {}, kept);
  if (scale == 1) return y;
  dispatch_floating(y.dtype(), name, [&]<class T>() { affine(y, scale, 0, y.mutable_data<T>(), false); });
  return y;
}

// slot (+)= a b, both repeated to the slot's shape.
inline void add_product(const char* name, const Tensor& a, const Tensor& b, const GradSlot& slot) {
  dispatch_floating(a.dtype(), name, [&]<class T>() {
    combine<T>(kernels::Binary::mul, slot.tensor.shape(), a, b, slot.data<T>(), slot.accumulate);
  });
}

inline Var scaled_sum(const char* name, const Var& x, const ReducedShape& shape, double scale) {
  Tensor y = sum_value(name, x.value(), shape.kept, scale).reshape(shape.result);
  return record(name, y, {x}, [=, kept = shape.kept](const Tensor& dy, Grads& g) {
    if (g.wants(0)) add_product(name, dy.reshape(kept), scalar(scale, dy.dtype()), g.into(0));
  });
}

inline Tensor max_value(const char* name, const Tensor& x, const Shape& kept) {
  Tensor y(kept, x.dtype());
  if (y.numel() == 0) return y;
  dispatch_floating(x.dtype(), name, [&]<class T>() {
    run_folds(x.data<T>(), x.shape(), kept, y.mutable_data<T>(), [](const T* from, const FoldStep& s, T* to, bool) {
      if constexpr (std::is_same_v<T, float>) {
        kernels::max_axis_f32(from, s.outer, s.count, s.inner, to);
      } else {
        kernels::max_axis_reference(from, s.outer, s.count, s.inner, to);
      }
    });
  });
  return y;
}

// A copy with f(x[i]) for elements: for the small results of reductions.
template <class F>
Tensor mapped(const char* name, const Tensor& x, F&& f) {
  Tensor y(x.shape(), x.dtype());
  dispatch_floating(x.dtype(), name, [&]<class T>() {
    const T* from = x.data<T>();
    T* to = y.mutable_data<T>();
    for (std::int64_t i = 0; i < x.numel(); ++i) to[i] = f(from[i]);
  });
  return y;
}

// Infinities would turn x - shift into NaN.
inline Tensor finite_shift(const Tensor& shift) {
  return mapped("logsumexp", shift, []<class T>(T v) { return std::isinf(v) ? T(0) : v; });
}

// e^(x - shift).
inline Tensor shifted_exp(const Tensor& x, const Tensor& shift) { return exp(sub(Var(x), Var(shift))).value(); }

}  // namespace detail

// Sum; 0 where there is nothing to add.
inline Var sum(const Var& x, std::initializer_list<int> axes = {}, bool keepdims = false) {
  return detail::scaled_sum("sum", x, detail::reduced_shape("sum", x.shape(), axes, keepdims), 1);
}

// Mean. Throws Error when there is nothing to average.
inline Var mean(const Var& x, std::initializer_list<int> axes = {}, bool keepdims = false) {
  const detail::ReducedShape shape = detail::reduced_shape("mean", x.shape(), axes, keepdims);
  detail::check_not_empty("mean", shape, x.shape());
  return detail::scaled_sum("mean", x, shape, shape.count ? 1 / static_cast<double>(shape.count) : 1);
}

// Maximum; NaN where there is one. Equal maxima share the gradient evenly, as in PyTorch's amax. Throws Error when
// there is nothing to compare.
inline Var max(const Var& x, std::initializer_list<int> axes = {}, bool keepdims = false) {
  const detail::ReducedShape shape = detail::reduced_shape("max", x.shape(), axes, keepdims);
  detail::check_not_empty("max", shape, x.shape());
  Tensor y = detail::max_value("max", x.value(), shape.kept);
  Tensor result = y.reshape(shape.result);
  return record("max", result, {x}, [x = Saved(x.value()), y = Saved(y)](const Tensor& dy, Grads& g) {
    if (!g.wants(0)) return;
    const Tensor is_max = detail::binary_value("max", kernels::Binary::equal, x.get(), y.get());
    const Tensor share = div(Var(dy.reshape(y->shape())), Var(detail::summed("max", is_max, {}, y->shape()))).value();
    detail::add_product("max", is_max, share, g.into(0));
  });
}

// log sum e^x, without overflow. Throws Error when there is nothing to add.
inline Var logsumexp(const Var& x, std::initializer_list<int> axes = {}, bool keepdims = false) {
  const detail::ReducedShape shape = detail::reduced_shape("logsumexp", x.shape(), axes, keepdims);
  detail::check_not_empty("logsumexp", shape, x.shape());
  const Tensor shift = detail::finite_shift(detail::max_value("logsumexp", x.value(), shape.kept));
  const Tensor total = detail::summed("logsumexp", detail::shifted_exp(x.value(), shift), {}, shape.kept);
  Tensor y = add(log(Var(total)), Var(shift)).value();
  Tensor result = y.reshape(shape.result);
  return record("logsumexp", result, {x}, [x = Saved(x.value()), y = Saved(y)](const Tensor& dy, Grads& g) {
    if (!g.wants(0)) return;
    const Tensor softmax = detail::shifted_exp(x, detail::finite_shift(y));
    detail::add_product("logsumexp", softmax, dy.reshape(y->shape()), g.into(0));
  });
}

// 2-norm: sqrt of the sum of squares; 0 where there is nothing to add. Its gradient x / norm is 0 where the norm is.
inline Var norm(const Var& x, std::initializer_list<int> axes = {}, bool keepdims = false) {
  const detail::ReducedShape shape = detail::reduced_shape("norm", x.shape(), axes, keepdims);
  Tensor y = sqrt(Var(detail::summed("norm", x.value(), x.value(), shape.kept))).value();
  Tensor result = y.reshape(shape.result);
  return record("norm", result, {x}, [x = Saved(x.value()), y = Saved(y)](const Tensor& dy, Grads& g) {
    if (!g.wants(0)) return;
    const Tensor inverse = detail::mapped("norm", y, []<class T>(T v) { return v == 0 ? T(0) : 1 / v; });
    const Tensor scale = mul(Var(dy.reshape(y->shape())), Var(inverse)).value();
    detail::add_product("norm", x, scale, g.into(0));
  });
}

}  // namespace fovea::ops
