// Plain structs that describe matrices to kernels.
#pragma once

#include <cstdint>

#include "fovea/kernels/activation.h"

namespace fovea::kernels {

// A row-major matrix as an operand of a product: element (i, j) is data[i * stride + j], or data[j * stride + i] when
// it is used transposed.
template <class T>
struct MatrixView {
  const T* data = nullptr;
  std::int64_t stride = 0;
  bool transposed = false;
};

// What happens to a product AB before it is stored, in this order. preactivation and residual lie like the result.
template <class T>
struct Epilogue {
  const T* bias = nullptr;     // (n) added to every row
  T* preactivation = nullptr;  // receives AB + bias
  Activation activation = Activation::none;
  const T* residual = nullptr;  // added last
  bool accumulate = false;      // adds to what the result holds; the other fields must then be unset
};

}  // namespace fovea::kernels
