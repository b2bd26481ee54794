// Matrix product, written plainly: what gemm_f32 is tested against, and the f64 path.
#pragma once

#include "fovea/core/parallel.h"
#include "fovea/kernels/activation_reference.h"
#include "fovea/kernels/matrix.h"

namespace fovea::kernels {

// As gemm_f32, in any floating type.
template <class T>
void gemm_reference(std::int64_t m, std::int64_t n, std::int64_t k, MatrixView<T> a, MatrixView<T> b, T* c,
                    std::int64_t c_stride, const Epilogue<T>& e = {}) {
  const auto row = [&](std::int64_t i) {
    T* out = c + i * c_stride;
    for (std::int64_t j = 0; !e.accumulate && j < n; ++j) out[j] = 0;
    for (std::int64_t p = 0; p < k; ++p) {
      const T x = a.transposed ? a.data[p * a.stride + i] : a.data[i * a.stride + p];
      const T* column = b.data + (b.transposed ? p : p * b.stride);
      const std::int64_t step = b.transposed ? b.stride : 1;
      for (std::int64_t j = 0; j < n; ++j) out[j] += x * column[j * step];
    }
    for (std::int64_t j = 0; j < n; ++j) {
      T value = out[j] + (e.bias ? e.bias[j] : T(0));
      if (e.preactivation) e.preactivation[i * c_stride + j] = value;
      value = activate_reference(e.activation, value);
      out[j] = value + (e.residual ? e.residual[i * c_stride + j] : T(0));
    }
  };
  parallel_for(m, 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) row(i);
  });
}

}  // namespace fovea::kernels
