// Layer normalisation of rows, forward and backward (Ba et al. 2016).
#pragma once

#include <cstdint>

#include "fovea/core/export.h"
#include "fovea/kernels/grad_target.h"

namespace fovea::kernels {

// y = (x - mean) * rstd * weight + bias, with each row's mean and rstd = 1 / sqrt(variance + eps).
template <class T>
struct LayerNormArgs {
  std::int64_t rows, width;
  double eps;
  const T* x;       // (rows, width)
  const T* weight;  // (width), or null for ones
  const T* bias;    // (width), or null for zeros
  T* y;             // (rows, width)
  T* mean;          // (rows): kept for backward
  T* rstd;          // (rows): kept for backward
};
FOVEA_API void layer_norm_f32(const LayerNormArgs<float>& args);

template <class T>
struct LayerNormGradArgs {
  std::int64_t rows, width;
  const T* x;
  const T* weight;  // or null
  const T* mean;
  const T* rstd;
  const T* dy;
  GradTarget<T> dx, dweight, dbias;
};
FOVEA_API void layer_norm_grad_f32(const LayerNormGradArgs<float>& args);

}  // namespace fovea::kernels
