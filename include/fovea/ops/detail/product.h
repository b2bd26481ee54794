// The kernels behind matrix products in either precision: f32 runs vector code, f64 the plain references.
#pragma once

#include <type_traits>

#include "fovea/core/profile.h"
#include "fovea/kernels/activation.h"
#include "fovea/kernels/gemm.h"
#include "fovea/kernels/gemm_reference.h"
#include "fovea/kernels/reduce.h"
#include "fovea/kernels/reduce_reference.h"

namespace fovea::ops::detail {

template <class T>
void gemm(std::int64_t m, std::int64_t n, std::int64_t k, kernels::MatrixView<T> a, kernels::MatrixView<T> b, T* c,
          const kernels::Epilogue<T>& epilogue = {}) {
  if constexpr (std::is_same_v<T, float>) {
    kernels::gemm_f32(m, n, k, a, b, c, n, epilogue);
  } else {
    kernels::gemm_reference<T>(m, n, k, a, b, c, n, epilogue);
  }
}

// out (columns) = or += the sum of the rows of x: the gradient of a bias.
template <class T>
void column_sum(const T* x, std::int64_t rows, std::int64_t columns, T* out, bool accumulate) {
  const profile::Span span("column_sum");
  profile::count(0, static_cast<double>(rows * columns) * sizeof(T));
  if constexpr (std::is_same_v<T, float>) {
    kernels::column_sum_f32(x, rows, columns, out, accumulate);
  } else {
    kernels::sum_axis_reference<T>(x, nullptr, 1, rows, columns, out, accumulate);
  }
}

// dx = dy * activation'(x); dx may be dy.
template <class T>
void activation_grad(Activation kind, const T* x, const T* dy, std::int64_t n, T* dx) {
  const profile::Span span("activation_grad");
  profile::count(0, 3 * static_cast<double>(n) * sizeof(T));
  if constexpr (std::is_same_v<T, float>) {
    kernels::activation_grad_f32(kind, x, dy, n, dx, false);
  } else {
    kernels::activation_grad_reference<T>(kind, x, dy, n, dx, false);
  }
}

}  // namespace fovea::ops::detail
