// Batch normalisation over the rows of (rows, channels), with a residual and an activation in the same pass (Ioffe &
// Szegedy 2015).
#pragma once

#include <cstdint>

#include "fovea/core/export.h"
#include "fovea/kernels/activation.h"
#include "fovea/kernels/grad_target.h"

namespace fovea::kernels {

// Mean and biased variance of each channel of x (rows, channels), rows >= 1. Exact to rounding however large the mean
// is.
FOVEA_API void channel_moments_f32(const float* x, std::int64_t rows, std::int64_t channels, double* mean,
                                   double* variance);

// Factors and offsets of whole channels of single samples, (samples, channels) each: sample n is `rows` rows. None
// where `factor` is null.
template <class T>
struct SampleGate {
  std::int64_t rows = 0;
  const T* factor = nullptr;
  const T* offset = nullptr;  // of a gradient
};

// y = activation of (n * weight + bias + residual), n = (x - mean) * rstd, times the gate's factor where there is
// one. Statistics are f64: a mean much larger than the spread does not fit f32.
template <class T>
struct BatchNormArgs {
  std::int64_t rows, channels;
  const T* x;          // (rows, channels)
  const T* weight;     // (channels)
  const T* bias;       // (channels)
  const T* residual;   // (rows, channels), or null
  const double* mean;  // (channels)
  const double* rstd;  // (channels): 1 / sqrt(variance + eps)
  Activation activation;
  T* y;  // (rows, channels)
  SampleGate<T> gate{};
};
FOVEA_API void batch_norm_f32(const BatchNormArgs<float>& args);

// The sums (samples, channels) over each sample's args.gate.rows rows of the ungated y, or of y * dy where dy (rows,
// channels) is not null. args.y is not written.
FOVEA_API void batch_norm_sample_sums_f32(const BatchNormArgs<float>& args, const float* dy, float* sums);

// What both passes of the gradient read. g = dy, or dy * factor + offset with a gate, times the derivative of the
// activation: that of relu by the output y, any other by x, which is right where there was no residual.
template <class T>
struct BatchNormInput {
  std::int64_t rows, channels;
  const T* x;
  const T* y;  // the output for relu, otherwise null
  const T* weight;
  const T* bias;
  const T* dy;
  const double* mean;
  const double* rstd;
  Activation activation;
  SampleGate<T> gate{};
};

// The sums over rows of g and of g * n: the gradients of bias and weight. Both (channels).
FOVEA_API void batch_norm_sums_f32(const BatchNormInput<float>& in, double* sum_g, double* sum_gn);

// dresidual = g; dx = weight * rstd * g for fixed statistics, and for those of the batch (`sum_g` and `sum_gn` not
// null) weight * rstd * (g - sum_g / rows - n * sum_gn / rows). Each element of dx is written before that of dresidual,
// so the two may be one array.
template <class T>
struct BatchNormGradArgs {
  BatchNormInput<T> in;
  const double* sum_g;   // (channels), or null
  const double* sum_gn;  // (channels), or null
  GradTarget<T> dx, dresidual;
};
FOVEA_API void batch_norm_grad_f32(const BatchNormGradArgs<float>& args);

}  // namespace fovea::kernels
