// Pooling of images (N, H, W, C) over windows of rows and columns.
#pragma once

#include <cstdint>
#include <vector>

#include "fovea/core/export.h"
#include "fovea/kernels/grad_target.h"

namespace fovea::kernels {

// Which inputs each output of one axis covers. Windows move forward only: begin and end never decrease.
struct FOVEA_API PoolAxis {
  std::vector<std::int64_t> begin, end;  // per output: inputs [begin, end), clipped to the image
  std::vector<std::int64_t> first,
      last;  // per input: outputs [first, last) whose windows hold it; empty if first >= last

  // Windows of `kernel` inputs, `stride` apart, the first one `padding` before the image; as many as fit.
  static PoolAxis sliding(std::int64_t inputs, std::int64_t kernel, std::int64_t stride, std::int64_t padding);
  // `outputs` windows that cover the image evenly, as PyTorch's adaptive pooling: [i H / h, (i + 1) H / h) rounded
  // outwards.
  static PoolAxis adaptive(std::int64_t inputs, std::int64_t outputs);

  std::int64_t inputs() const { return static_cast<std::int64_t>(first.size()); }
  std::int64_t outputs() const { return static_cast<std::int64_t>(begin.size()); }

 private:
  void invert(std::int64_t inputs);
};

struct PoolShape {
  std::int64_t images, channels;
  const PoolAxis &rows, &columns;
};

// y = the largest of each window, and `argmax` (like y, or null) which one it was: its index in the clipped window in
// row-major order, the first of equals. NaN wins over numbers. No window has more than 256 elements.
FOVEA_API void max_pool2d_f32(const PoolShape& shape, const float* x, float* y, std::uint8_t* argmax);
FOVEA_API void max_pool2d_grad_f32(const PoolShape& shape, const std::uint8_t* argmax, const float* dy,
                                   const GradTarget<float>& dx);

// y = the mean of each clipped window.
FOVEA_API void avg_pool2d_f32(const PoolShape& shape, const float* x, float* y);
FOVEA_API void avg_pool2d_grad_f32(const PoolShape& shape, const float* dy, const GradTarget<float>& dx);

}  // namespace fovea::kernels
