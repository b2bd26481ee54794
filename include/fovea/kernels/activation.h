// Activations: the list, and the kernels that apply one to an array. Other kernels apply them as they store a result.
#pragma once

#include <cstdint>

#include "fovea/core/export.h"

namespace fovea {

enum class Activation : std::uint8_t {
  none,
  relu,
  gelu,        // x Phi(x), by erf
  gelu_tanh,   // the tanh approximation (Hendrycks & Gimpel 2016)
  quick_gelu,  // x sigmoid(1.702 x)
  silu,        // x sigmoid(x)
};

namespace kernels {

// y[i] = activation of x[i], i < n. y may be x.
FOVEA_API void activation_f32(Activation kind, const float* x, std::int64_t n, float* y);

// dx[i] (+)= dy[i] times the derivative at x[i]. dx may be dy.
FOVEA_API void activation_grad_f32(Activation kind, const float* x, const float* dy, std::int64_t n, float* dx,
                                   bool accumulate);

}  // namespace kernels
}  // namespace fovea
