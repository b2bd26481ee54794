// Softmax and its logarithm along an axis.
#pragma once

#include <type_traits>

#include "fovea/autograd/saved.h"
#include "fovea/autograd/var.h"
#include "fovea/kernels/softmax.h"
#include "fovea/kernels/softmax_reference.h"

namespace fovea::ops {

namespace detail {

inline kernels::SoftmaxLines softmax_lines(const Shape& shape, int axis, const char* where) {
  FOVEA_CHECK(shape.rank() > 0, "[", where, "] a scalar has no axis");
  FOVEA_CHECK(axis >= -shape.rank() && axis < shape.rank(), "[", where, "] axis ", axis, " is out of range for ",
              shape);
  return {shape.outer(axis), shape[axis], shape.inner(axis)};
}

}  // namespace detail

// y = e^x / sum e^x along `axis`, in the shape of x. Throws Error when the axis does not exist. The last axis is fast,
// others run on the plain path.
inline Var softmax(const Var& x, int axis = -1) {
  const kernels::SoftmaxLines lines = detail::softmax_lines(x.shape(), axis, "softmax");
  Tensor y(x.shape(), x.dtype());
  dispatch_floating(x.dtype(), "softmax", [&]<class T>() {
    const T* in = x.value().data<T>();
    T* out = y.mutable_data<T>();
    if constexpr (std::is_same_v<T, float>) {
      if (lines.inner == 1) return kernels::softmax_forward_f32(in, lines.outer, lines.n, out);
    }
    kernels::softmax_forward_reference(in, lines, out);
  });
  return record("softmax", y, {x}, [lines, y = Saved(y)](const Tensor& dy, Grads& g) {
    if (!g.wants(0)) return;
    const GradSlot slot = g.into(0);
    dispatch_floating(dy.dtype(), "softmax", [&]<class T>() {
      const T *result = y->data<T>(), *grad = dy.data<T>();
      T* dx = slot.data<T>();
      if constexpr (std::is_same_v<T, float>) {
        if (lines.inner == 1) {
          return kernels::softmax_backward_f32(result, grad, lines.outer, lines.n, dx, slot.accumulate);
        }
      }
      kernels::softmax_backward_reference(result, grad, lines, dx, slot.accumulate);
    });
  });
}

// y = x - log sum e^x along `axis`, in the shape of x. Throws Error when the axis does not exist. The last axis is
// fast, others run on the plain path.
inline Var log_softmax(const Var& x, int axis = -1) {
  const kernels::SoftmaxLines lines = detail::softmax_lines(x.shape(), axis, "log_softmax");
  Tensor y(x.shape(), x.dtype());
  dispatch_floating(x.dtype(), "log_softmax", [&]<class T>() {
    const T* in = x.value().data<T>();
    T* out = y.mutable_data<T>();
    if constexpr (std::is_same_v<T, float>) {
      if (lines.inner == 1) return kernels::log_softmax_forward_f32(in, lines.outer, lines.n, out);
    }
    kernels::log_softmax_forward_reference(in, lines, out);
  });
  return record("log_softmax", y, {x}, [lines, y = Saved(y)](const Tensor& dy, Grads& g) {
    if (!g.wants(0)) return;
    const GradSlot slot = g.into(0);
    dispatch_floating(dy.dtype(), "log_softmax", [&]<class T>() {
      const T *result = y->data<T>(), *grad = dy.data<T>();
      T* dx = slot.data<T>();
      if constexpr (std::is_same_v<T, float>) {
        if (lines.inner == 1) {
          return kernels::log_softmax_backward_f32(result, grad, lines.outer, lines.n, dx, slot.accumulate);
        }
      }
      kernels::log_softmax_backward_reference(result, grad, lines, dx, slot.accumulate);
    });
  });
}

}  // namespace fovea::ops
