// Activations that kernels apply as they store a result.
#pragma once

#include <cstdint>

namespace fovea {

enum class Activation : std::uint8_t {
  none,
  relu,
  gelu,        // x Phi(x), by erf
  gelu_tanh,   // the tanh approximation (Hendrycks & Gimpel 2016)
  quick_gelu,  // x sigmoid(1.702 x)
  silu,        // x sigmoid(x)
};

}  // namespace fovea
