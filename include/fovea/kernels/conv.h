// Two-dimensional convolution of (N, H, W, C) images with (O, KH, KW, C / groups) filters.
#pragma once

#include "fovea/core/export.h"
#include "fovea/kernels/matrix.h"

namespace fovea::kernels {

// Extents of one convolution.
struct Conv2dShape {
  std::int64_t n, h, w, c;  // images
  std::int64_t o, kh, kw;   // filters
  std::int64_t stride = 1, padding = 0, groups = 1;
  std::int64_t end_padding = 0;  // more zeros below and to the right

  std::int64_t padded_h() const { return h + 2 * padding + end_padding; }
  std::int64_t padded_w() const { return w + 2 * padding + end_padding; }
  std::int64_t out_h() const { return (padded_h() - kh) / stride + 1; }
  std::int64_t out_w() const { return (padded_w() - kw) / stride + 1; }
  bool padded() const { return padding > 0 || end_padding > 0; }
  std::int64_t pixels() const { return n * out_h() * out_w(); }  // of the result
  std::int64_t group_c() const { return c / groups; }
  std::int64_t group_o() const { return o / groups; }
  std::int64_t filter_size() const { return kh * kw * group_c(); }
  double flops() const { return 2.0 * static_cast<double>(pixels()) * static_cast<double>(o * filter_size()); }
  bool pointwise() const { return kh == 1 && kw == 1 && stride == 1 && !padded() && groups == 1; }
  bool depthwise() const { return groups == c && o == c && groups > 1; }
};

// y (N, OH, OW, O) = x * w + bias; the bias (O) may be null. No im2col matrix is stored: the GEMM's micro-kernel reads
// the images through pointers.
FOVEA_API void conv2d_f32(const Conv2dShape& s, const float* x, const float* w, const float* bias, float* y);

// dx (N, H, W, C) = or += the gradient with respect to the images.
FOVEA_API void conv2d_input_grad_f32(const Conv2dShape& s, const float* dy, const float* w, float* dx, bool accumulate);

// dw = or += the gradient with respect to the filters.
FOVEA_API void conv2d_weight_grad_f32(const Conv2dShape& s, const float* x, const float* dy, float* dw,
                                      bool accumulate);

}  // namespace fovea::kernels
