// Root-mean-square normalisation of rows, forward and backward (Zhang & Sennrich 2019).
#pragma once

#include <cstdint>

#include "fovea/core/export.h"
#include "fovea/kernels/grad_target.h"

namespace fovea::kernels {

// y = x * rstd * weight, with each row's rstd = 1 / sqrt(mean(x^2) + eps).
template <class T>
struct RmsNormArgs {
  std::int64_t rows, width;
  double eps;
  const T* x;       // (rows, width)
  const T* weight;  // (width), or null for ones
  T* y;             // (rows, width)
  T* rstd;          // (rows): kept for backward
};
FOVEA_API void rms_norm_f32(const RmsNormArgs<float>& args);

template <class T>
struct RmsNormGradArgs {
  std::int64_t rows, width;
  const T* x;
  const T* weight;  // or null
  const T* rstd;
  const T* dy;
  GradTarget<T> dx, dweight;
};
FOVEA_API void rms_norm_grad_f32(const RmsNormGradArgs<float>& args);

}  // namespace fovea::kernels
