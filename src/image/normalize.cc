#include "fovea/image/normalize.h"

#include <cstring>

#include "fovea/core/parallel.h"

namespace fovea::image {

Tensor stack(std::span<const Image> pictures, Size size) {
  Tensor all({static_cast<std::int64_t>(pictures.size()), size.height, size.width, Image::channels}, DType::u8);
  auto* out = all.mutable_data<std::uint8_t>();
  for (const Image& picture : pictures) {
    FOVEA_CHECK(picture.size() == size, "[image] a picture is ", picture.width, " x ", picture.height,
                ", others of its batch are ", size.width, " x ", size.height);
    std::memcpy(out, picture.pixels.data(), picture.pixels.size());
    out += picture.pixels.size();
  }
  return all;
}

Tensor normalized(const Tensor& pixels, const Normalization& normalization) {
  float scale[3], offset[3];
  for (std::size_t c = 0; c < 3; ++c) {
    scale[c] = static_cast<float>(1 / (255 * normalization.std[c]));
    offset[c] = static_cast<float>(-normalization.mean[c] / normalization.std[c]);
  }
  constexpr std::int64_t pixels_per_task = 1 << 14;
  Tensor numbers(pixels.shape());
  const auto* in = pixels.data<std::uint8_t>();
  float* out = numbers.mutable_data<float>();
  parallel_for(pixels.numel() / 3, pixels_per_task, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = 3 * begin; i < 3 * end; i += 3) {
      for (std::int64_t c = 0; c < 3; ++c) out[i + c] = static_cast<float>(in[i + c]) * scale[c] + offset[c];
    }
  });
  return numbers;
}

Tensor to_tensor(const Image& image, const Normalization& normalization) {
  return normalized(stack({&image, 1}, image.size()), normalization);
}

}  // namespace fovea::image
