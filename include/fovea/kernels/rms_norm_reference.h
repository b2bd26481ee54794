// Root-mean-square normalisation, plainly: the definition of the kernel, and the f64 path.
#pragma once

#include <cmath>

#include "fovea/core/parallel.h"
#include "fovea/kernels/rms_norm.h"

namespace fovea::kernels {

template <class T>
void rms_norm_reference(const RmsNormArgs<T>& args) {
  const std::int64_t d = args.width;
  parallel_for(args.rows, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      const T* x = args.x + r * d;
      T squares = 0;
      for (std::int64_t j = 0; j < d; ++j) squares += x[j] * x[j];
      const T rstd = 1 / std::sqrt(squares / static_cast<T>(d) + static_cast<T>(args.eps));
      for (std::int64_t j = 0; j < d; ++j) args.y[r * d + j] = x[j] * rstd * (args.weight ? args.weight[j] : T(1));
      args.rstd[r] = rstd;
    }
  });
}

// With g = dy * weight and n = x * rstd: dx = rstd * (g - n * mean(g * n)).
template <class T>
void rms_norm_grad_reference(const RmsNormGradArgs<T>& args) {
  const std::int64_t d = args.width;
  const auto g = [&](std::int64_t r, std::int64_t j) {
    return args.dy[r * d + j] * (args.weight ? args.weight[j] : T(1));
  };
  const auto normalised = [&](std::int64_t r, std::int64_t j) { return args.x[r * d + j] * args.rstd[r]; };
  if (args.dx) {
    parallel_for(args.rows, 16, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) {
        T mean_gn = 0;
        for (std::int64_t j = 0; j < d; ++j) mean_gn += g(r, j) * normalised(r, j);
        mean_gn /= static_cast<T>(d);
        for (std::int64_t j = 0; j < d; ++j) {
          args.dx.put(r * d + j, args.rstd[r] * (g(r, j) - normalised(r, j) * mean_gn));
        }
      }
    });
  }
  if (!args.dweight) return;
  for (std::int64_t j = 0; j < d; ++j) {
    T dweight = 0;
    for (std::int64_t r = 0; r < args.rows; ++r) dweight += args.dy[r * d + j] * normalised(r, j);
    args.dweight.put(j, dweight);
  }
}

}  // namespace fovea::kernels
