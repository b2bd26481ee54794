// Differentiable activations.
#pragma once

#include "fovea/autograd/saved.h"
#include "fovea/autograd/var.h"
#include "fovea/kernels/activation.h"
#include "fovea/kernels/activation_reference.h"

namespace fovea::ops {

namespace detail {

inline Tensor activation_of(const Tensor& x, Activation kind) {
  Tensor y(x.shape(), x.dtype());
  dispatch_floating(x.dtype(), "activate", [&]<class T>() {
    if constexpr (std::is_same_v<T, float>) {
      kernels::activation_f32(kind, x.data<T>(), x.numel(), y.mutable_data<T>());
    } else {
      kernels::activation_reference(kind, x.data<T>(), x.numel(), y.mutable_data<T>());
    }
  });
  return y;
}

}  // namespace detail

// The activation of every element; x itself for Activation::none. Keeps x alone, from which the result is made again:
// layers that end in an activation fuse it into their product instead (ops::linear).
inline Var activate(const Var& x, Activation kind) {
  if (kind == Activation::none) return x;
  const SavedActivation kept(x);
  auto backward = [kind, kept](const Tensor& dy, Grads& g) {
    if (!g.wants(0)) return;
    const Tensor input = kept.restore();
    const GradSlot slot = g.into(0);
    dispatch_floating(dy.dtype(), "activate", [&]<class T>() {
      const std::int64_t n = dy.numel();
      if constexpr (std::is_same_v<T, float>) {
        kernels::activation_grad_f32(kind, input.data<T>(), dy.data<T>(), n, slot.data<T>(), slot.accumulate);
      } else {
        kernels::activation_grad_reference(kind, input.data<T>(), dy.data<T>(), n, slot.data<T>(), slot.accumulate);
      }
    });
  };
  return record("activate", detail::activation_of(x.value(), kind), {x}, std::move(backward),
                [kind, kept] { return detail::activation_of(kept.restore(), kind); });
}

inline Var relu(const Var& x) { return activate(x, Activation::relu); }  // gradient 0 at 0
inline Var gelu(const Var& x) { return activate(x, Activation::gelu); }
inline Var gelu_tanh(const Var& x) { return activate(x, Activation::gelu_tanh); }
inline Var quick_gelu(const Var& x) { return activate(x, Activation::quick_gelu); }
inline Var silu(const Var& x) { return activate(x, Activation::silu); }

}  // namespace fovea::ops
