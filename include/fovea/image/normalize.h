// Pixels to a model's input numbers.
#pragma once

#include <array>

#include "fovea/core/export.h"
#include "fovea/image/image.h"
#include "fovea/tensor/tensor.h"

namespace fovea::image {

// Mean and standard deviation of each channel on a 0..1 scale; by default those of CLIP.
struct Normalization {
  std::array<double, 3> mean{0.48145466, 0.4578275, 0.40821073};
  std::array<double, 3> std{0.26862954, 0.26130258, 0.27577711};
};

// out[(y * width + x) * 3 + c] = (pixel / 255 - mean[c]) / std[c], for height * width * 3 numbers.
FOVEA_API void normalize(const Image& image, const Normalization& normalization, float* out);

// One picture as a batch: (1, height, width, 3) f32.
FOVEA_API Tensor to_tensor(const Image& image, const Normalization& normalization);

}  // namespace fovea::image
