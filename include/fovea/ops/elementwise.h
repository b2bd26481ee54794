// Differentiable arithmetic, element by element. Shapes broadcast by NumPy's rule.
#pragma once

#include "fovea/autograd/saved.h"
#include "fovea/ops/detail/broadcast.h"
#include "fovea/ops/detail/saved_for.h"
#include "fovea/tensor/factory.h"

namespace fovea::ops {

namespace detail {

// The value of a (kind) b. Throws Error when the types differ or the shapes do not broadcast.
inline Tensor binary_value(const char* name, kernels::Binary kind, const Var& a, const Var& b) {
  FOVEA_CHECK(a.dtype() == b.dtype(), "[", name, "] operands are ", to_string(a.dtype()), " and ", to_string(b.dtype()),
              "\nhint: convert one of them with Tensor::to");
  Tensor y(broadcast_shapes(a.shape(), b.shape(), name), a.dtype());
  dispatch_floating(y.dtype(), name,
                    [&]<class T>() { combine<T>(kind, y.shape(), a.value(), b.value(), y.mutable_data<T>(), false); });
  return y;
}

inline Var unary(const char* name, kernels::Unary kind, const Var& x) {
  const std::int64_t n = x.value().numel();
  Tensor y(x.shape(), x.dtype());
  dispatch_floating(x.dtype(), name, [&]<class T>() {
    if constexpr (std::is_same_v<T, float>) {
      kernels::unary_f32(kind, x.value().data<T>(), n, y.mutable_data<T>());
    } else {
      kernels::unary_reference(kind, x.value().data<T>(), n, y.mutable_data<T>());
    }
  });
  Saved saved(kernels::grad_reads_result(kind) ? y : x.value());
  return record(name, y, {x}, [=, saved = std::move(saved)](const Tensor& dy, Grads& g) {
    if (!g.wants(0)) return;
    const GradSlot slot = g.into(0);
    dispatch_floating(dy.dtype(), name, [&]<class T>() {
      if constexpr (std::is_same_v<T, float>) {
        kernels::unary_grad_f32(kind, saved->data<T>(), dy.data<T>(), n, slot.data<T>(), slot.accumulate);
      } else {
        kernels::unary_grad_reference(kind, saved->data<T>(), dy.data<T>(), n, slot.data<T>(), slot.accumulate);
      }
    });
  });
}

// scale x + shift.
inline Var affine(const char* name, const Var& x, double scale, double shift) {
  Tensor y(x.shape(), x.dtype());
  dispatch_floating(x.dtype(), name, [&]<class T>() { affine(x.value(), scale, shift, y.mutable_data<T>(), false); });
  return record(name, y, {x}, [=](const Tensor& dy, Grads& g) {
    if (!g.wants(0)) return;
    const GradSlot slot = g.into(0);
    dispatch_floating(dy.dtype(), name, [&]<class T>() { affine(dy, scale, 0, slot.data<T>(), slot.accumulate); });
  });
}

// Passes dy on to an operand of a sum.
inline void add_gradient(const char* name, const Tensor& dy, Grads& g, int i, const Shape& shape) {
  if (shape == dy.shape()) return g.add(i, dy);
  const GradSlot slot = g.into(i);
  dispatch_floating(dy.dtype(), name, [&]<class T>() {
    sum_to<T>(dy.data<T>(), nullptr, dy.shape(), shape, slot.data<T>(), slot.accumulate);
  });
}

// sum over the repeats of dy (of dy z where z is given), as a tensor of an operand's shape.
inline Tensor summed(const char* name, const Tensor& dy, const Tensor& z, const Shape& shape) {
  Tensor total(shape, dy.dtype());
  dispatch_floating(dy.dtype(), name, [&]<class T>() {
    sum_to(dy.data<T>(), z.defined() ? z.data<T>() : nullptr, dy.shape(), shape, total.mutable_data<T>(), false);
  });
  return total;
}

}  // namespace detail

// a + b.
inline Var add(const Var& a, const Var& b) {
  Tensor y = detail::binary_value("add", kernels::Binary::add, a, b);
  return record("add", y, {a, b}, [sa = a.shape(), sb = b.shape()](const Tensor& dy, Grads& g) {
    if (g.wants(0)) detail::add_gradient("add", dy, g, 0, sa);
    if (g.wants(1)) detail::add_gradient("add", dy, g, 1, sb);
  });
}

// a - b.
inline Var sub(const Var& a, const Var& b) {
  Tensor y = detail::binary_value("sub", kernels::Binary::sub, a, b);
  return record("sub", y, {a, b}, [sa = a.shape(), sb = b.shape()](const Tensor& dy, Grads& g) {
    if (g.wants(0)) detail::add_gradient("sub", dy, g, 0, sa);
    if (!g.wants(1)) return;
    const Tensor total = sb == dy.shape() ? dy : detail::summed("sub", dy, {}, sb);
    const GradSlot slot = g.into(1);
    dispatch_floating(dy.dtype(), "sub",
                      [&]<class T>() { detail::affine(total, -1, 0, slot.data<T>(), slot.accumulate); });
  });
}

// a b, element by element.
inline Var mul(const Var& a, const Var& b) {
  Tensor y = detail::binary_value("mul", kernels::Binary::mul, a, b);
  return record("mul", y, {a, b},
                [a = detail::saved_for(b, a), b = detail::saved_for(a, b)](const Tensor& dy, Grads& g) {
                  dispatch_floating(dy.dtype(), "mul", [&]<class T>() {
                    if (g.wants(0)) detail::chain<T>(kernels::Binary::mul, dy, b.restore(), g.into(0));
                    if (g.wants(1)) detail::chain<T>(kernels::Binary::mul, dy, a.restore(), g.into(1));
                  });
                });
}

// a / b, element by element.
inline Var div(const Var& a, const Var& b) {
  Tensor y = detail::binary_value("div", kernels::Binary::div, a, b);
  return record("div", y, {a, b}, [b = Saved(b.value()), y = detail::saved_for(b, y)](const Tensor& dy, Grads& g) {
    dispatch_floating(dy.dtype(), "div", [&]<class T>() {
      if (g.wants(0)) detail::chain<T>(kernels::Binary::div, dy, b, g.into(0));
      if (!g.wants(1)) return;
      Tensor total = detail::summed("div", dy, y, b->shape());  // db = -sum(dy y) / b
      detail::affine(total, -1, 0, total.mutable_data<T>(), false);
      const GradSlot slot = g.into(1);
      detail::combine<T>(kernels::Binary::div, b->shape(), total, b, slot.data<T>(), slot.accumulate);
    });
  });
}

// With one number for all elements.
inline Var add(const Var& a, double b) { return detail::affine("add", a, 1, b); }
inline Var sub(const Var& a, double b) { return detail::affine("sub", a, 1, -b); }
inline Var sub(double a, const Var& b) { return detail::affine("sub", b, -1, a); }
inline Var mul(const Var& a, double b) { return detail::affine("mul", a, b, 0); }
inline Var div(const Var& a, double b) { return detail::affine("div", a, 1 / b, 0); }
inline Var neg(const Var& x) { return detail::affine("neg", x, -1, 0); }

inline Var exp(const Var& x) { return detail::unary("exp", kernels::Unary::exp, x); }
inline Var log(const Var& x) { return detail::unary("log", kernels::Unary::log, x); }     // -infinity at 0, NaN below
inline Var sqrt(const Var& x) { return detail::unary("sqrt", kernels::Unary::sqrt, x); }  // infinite gradient at 0
inline Var square(const Var& x) { return detail::unary("square", kernels::Unary::square, x); }
inline Var reciprocal(const Var& x) { return detail::unary("reciprocal", kernels::Unary::reciprocal, x); }
inline Var tanh(const Var& x) { return detail::unary("tanh", kernels::Unary::tanh, x); }
inline Var sigmoid(const Var& x) { return detail::unary("sigmoid", kernels::Unary::sigmoid, x); }
// log(1 + e^x) and log sigmoid(x), without overflow at either end.
inline Var softplus(const Var& x) { return detail::unary("softplus", kernels::Unary::softplus, x); }
inline Var log_sigmoid(const Var& x) { return detail::unary("log_sigmoid", kernels::Unary::log_sigmoid, x); }

inline Var div(double a, const Var& b) { return mul(reciprocal(b), a); }

}  // namespace fovea::ops

namespace fovea {

inline Var operator+(const Var& a, const Var& b) { return ops::add(a, b); }
inline Var operator+(const Var& a, double b) { return ops::add(a, b); }
inline Var operator+(double a, const Var& b) { return ops::add(b, a); }
inline Var operator-(const Var& a, const Var& b) { return ops::sub(a, b); }
inline Var operator-(const Var& a, double b) { return ops::sub(a, b); }
inline Var operator-(double a, const Var& b) { return ops::sub(a, b); }
inline Var operator-(const Var& x) { return ops::neg(x); }
inline Var operator*(const Var& a, const Var& b) { return ops::mul(a, b); }
inline Var operator*(const Var& a, double b) { return ops::mul(a, b); }
inline Var operator*(double a, const Var& b) { return ops::mul(b, a); }
inline Var operator/(const Var& a, const Var& b) { return ops::div(a, b); }
inline Var operator/(const Var& a, double b) { return ops::div(a, b); }
inline Var operator/(double a, const Var& b) { return ops::div(a, b); }

}  // namespace fovea
