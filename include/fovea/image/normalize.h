// Pixels to a model's input numbers.
#pragma once

#include <array>
#include <span>

#include "fovea/core/export.h"
#include "fovea/image/image.h"
#include "fovea/tensor/tensor.h"

namespace fovea::image {

// Mean and standard deviation of each channel on a 0..1 scale; by default those of CLIP.
struct Normalization {
  std::array<double, 3> mean{0.48145466, 0.4578275, 0.40821073};
  std::array<double, 3> std{0.26862954, 0.26130258, 0.27577711};
};

// N pictures of one size as a batch: (N, height, width, 3) u8. Throws Error when one has another size.
FOVEA_API Tensor stack(std::span<const Image> pictures, Size size);

// (pixel / 255 - mean[c]) / std[c] of every channel c: (..., 3) u8 -> the same shape in f32.
FOVEA_API Tensor normalized(const Tensor& pixels, const Normalization& normalization);

// One picture as a batch of numbers: (1, height, width, 3) f32.
FOVEA_API Tensor to_tensor(const Image& image, const Normalization& normalization);

}  // namespace fovea::image
