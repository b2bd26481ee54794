#include "fovea/image/normalize.h"

namespace fovea::image {

void normalize(const Image& image, const Normalization& normalization, float* out) {
  float scale[3], offset[3];
  for (std::size_t c = 0; c < 3; ++c) {
    scale[c] = static_cast<float>(1 / (255 * normalization.std[c]));
    offset[c] = static_cast<float>(-normalization.mean[c] / normalization.std[c]);
  }
  for (std::size_t i = 0; i < image.pixels.size(); i += 3) {
    for (std::size_t c = 0; c < 3; ++c) out[i + c] = static_cast<float>(image.pixels[i + c]) * scale[c] + offset[c];
  }
}

Tensor to_tensor(const Image& image, const Normalization& normalization) {
  Tensor out({1, image.height, image.width, Image::channels});
  normalize(image, normalization, out.mutable_data<float>());
  return out;
}

}  // namespace fovea::image
