// Activations one number at a time: the plain form of what the kernels compute, and the f64 path.
#pragma once

#include <cmath>

#include "fovea/kernels/activation.h"

namespace fovea::kernels {

template <class T>
T sigmoid_reference(T x) {
  if (x >= 0) return 1 / (1 + std::exp(-x));
  const T e = std::exp(x);  // no overflow for large negative x
  return e / (1 + e);
}

template <class T>
T activate_reference(Activation kind, T x) {
  switch (kind) {
    case Activation::none: return x;
    case Activation::relu: return x < 0 ? T(0) : x;  // NaN stays NaN
    case Activation::gelu: return T(0.5) * x * (1 + std::erf(x * T(0.70710678118654752440)));
    case Activation::gelu_tanh:
      return T(0.5) * x * (1 + std::tanh(T(0.79788456080286535588) * (x + T(0.044715) * x * x * x)));
    case Activation::quick_gelu: return x * sigmoid_reference(T(1.702) * x);
    case Activation::silu: return x * sigmoid_reference(x);
  }
  return x;
}

// Derivative at x; 0 at the corner of relu, as in PyTorch.
template <class T>
T activate_grad_reference(Activation kind, T x) {
  switch (kind) {
    case Activation::none: return 1;
    case Activation::relu: return x > 0 ? T(1) : T(0);
    case Activation::gelu: {
      const T cdf = T(0.5) * (1 + std::erf(x * T(0.70710678118654752440)));
      return cdf + x * T(0.39894228040143267794) * std::exp(-x * x / 2);
    }
    case Activation::gelu_tanh: {
      const T t = std::tanh(T(0.79788456080286535588) * (x + T(0.044715) * x * x * x));
      const T slope = T(0.79788456080286535588) * (1 + 3 * T(0.044715) * x * x);
      return T(0.5) * (1 + t) + T(0.5) * x * (1 - t * t) * slope;
    }
    case Activation::quick_gelu:
    case Activation::silu: {
      const T scale = kind == Activation::silu ? T(1) : T(1.702);
      const T s = sigmoid_reference(scale * x);
      return s * (1 + scale * x * (1 - s));
    }
  }
  return 1;
}

// As activation_f32 and activation_grad_f32, in any floating type.
template <class T>
void activation_reference(Activation kind, const T* x, std::int64_t n, T* y) {
  for (std::int64_t i = 0; i < n; ++i) y[i] = activate_reference(kind, x[i]);
}
template <class T>
void activation_grad_reference(Activation kind, const T* x, const T* dy, std::int64_t n, T* dx, bool accumulate) {
  for (std::int64_t i = 0; i < n; ++i) {
    dx[i] = (accumulate ? dx[i] : T(0)) + dy[i] * activate_grad_reference(kind, x[i]);
  }
}

}  // namespace fovea::kernels
