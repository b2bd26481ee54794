// Batch normalisation over the rows of (rows, channels), with a residual and relu in the same pass (Ioffe & Szegedy
// 2015).
#pragma once

#include <cstdint>

#include "fovea/core/export.h"
#include "fovea/kernels/grad_target.h"

namespace fovea::kernels {

// Mean and biased variance of each channel of x (rows, channels), rows >= 1. Exact to rounding however large the mean
// is.
FOVEA_API void channel_moments_f32(const float* x, std::int64_t rows, std::int64_t channels, double* mean,
                                   double* variance);

// y = n * weight + bias + residual, n = (x - mean) * rstd, then max(y, 0) if `relu`. Statistics are f64: a mean much
// larger than the spread does not fit f32.
template <class T>
struct BatchNormArgs {
  std::int64_t rows, channels;
  const T* x;          // (rows, channels)
  const T* weight;     // (channels)
  const T* bias;       // (channels)
  const T* residual;   // (rows, channels), or null
  const double* mean;  // (channels)
  const double* rstd;  // (channels): 1 / sqrt(variance + eps)
  bool relu;
  T* y;  // (rows, channels)
};
FOVEA_API void batch_norm_f32(const BatchNormArgs<float>& args);

// With g = dy where y > 0 (all of dy without relu), the sums over rows of g and of g * n: the gradients of bias and
// weight.
template <class T>
struct BatchNormSumsArgs {
  std::int64_t rows, channels;
  const T* x;
  const T* y;  // the output, or null without relu
  const T* dy;
  const double* mean;
  const double* rstd;
  double* sum_g;   // (channels)
  double* sum_gn;  // (channels)
};
FOVEA_API void batch_norm_sums_f32(const BatchNormSumsArgs<float>& args);

// dresidual = g; dx = weight * rstd * g for fixed statistics, and for those of the batch (`sum_g` and `sum_gn` not
// null) weight * rstd * (g - sum_g / rows - n * sum_gn / rows). Each element of dx is written before that of dresidual,
// so the two may be one array.
template <class T>
struct BatchNormGradArgs {
  std::int64_t rows, channels;
  const T* x;
  const T* y;  // the output, or null without relu
  const T* weight;
  const T* dy;
  const double* mean;
  const double* rstd;
  const double* sum_g;   // (channels), or null
  const double* sum_gn;  // (channels), or null
  GradTarget<T> dx, dresidual;
};
FOVEA_API void batch_norm_grad_f32(const BatchNormGradArgs<float>& args);

}  // namespace fovea::kernels
