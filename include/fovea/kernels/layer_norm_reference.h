// Layer normalisation, plainly: the definition of the kernel, and the f64 path.
#pragma once

#include <cmath>

#include "fovea/core/parallel.h"
#include "fovea/kernels/layer_norm.h"

namespace fovea::kernels {

template <class T>
void layer_norm_reference(const LayerNormArgs<T>& args) {
  const std::int64_t d = args.width;
  parallel_for(args.rows, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      const T* x = args.x + r * d;
      T mean = 0, variance = 0;
      for (std::int64_t j = 0; j < d; ++j) mean += x[j];
      mean /= static_cast<T>(d);
      for (std::int64_t j = 0; j < d; ++j) variance += (x[j] - mean) * (x[j] - mean);
      variance /= static_cast<T>(d);
      const T rstd = 1 / std::sqrt(variance + static_cast<T>(args.eps));
      for (std::int64_t j = 0; j < d; ++j) {
        const T normalised = (x[j] - mean) * rstd;
        args.y[r * d + j] = normalised * (args.weight ? args.weight[j] : T(1)) + (args.bias ? args.bias[j] : T(0));
      }
      args.mean[r] = mean;
      args.rstd[r] = rstd;
    }
  });
}

// With g = dy * weight and n the normalised x: dx = rstd * (g - mean(g) - n * mean(g * n)).
template <class T>
void layer_norm_grad_reference(const LayerNormGradArgs<T>& args) {
  const std::int64_t d = args.width;
  const auto g = [&](std::int64_t r, std::int64_t j) {
    return args.dy[r * d + j] * (args.weight ? args.weight[j] : T(1));
  };
  const auto normalised = [&](std::int64_t r, std::int64_t j) {
    return (args.x[r * d + j] - args.mean[r]) * args.rstd[r];
  };
  if (args.dx) {
    parallel_for(args.rows, 16, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) {
        T mean_g = 0, mean_gn = 0;
        for (std::int64_t j = 0; j < d; ++j) mean_g += g(r, j), mean_gn += g(r, j) * normalised(r, j);
        mean_g /= static_cast<T>(d), mean_gn /= static_cast<T>(d);
        for (std::int64_t j = 0; j < d; ++j) {
          args.dx.put(r * d + j, args.rstd[r] * (g(r, j) - mean_g - normalised(r, j) * mean_gn));
        }
      }
    });
  }
  for (std::int64_t j = 0; j < d; ++j) {
    T dweight = 0, dbias = 0;
    for (std::int64_t r = 0; r < args.rows; ++r) {
      dweight += args.dy[r * d + j] * normalised(r, j);
      dbias += args.dy[r * d + j];
    }
    if (args.dweight) args.dweight.put(j, dweight);
    if (args.dbias) args.dbias.put(j, dbias);
  }
}

}  // namespace fovea::kernels
