#include "fovea/image/encode.h"

#include <gtest/gtest.h>

#include <cmath>

#include "../support/error_of.h"
#include "fovea/core/rng.h"
#include "fovea/image/decode.h"

namespace fovea::image {
namespace {

Image decoded(const std::string& bytes) {
  return decode({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}, "memory");
}

TEST(Encode, PngKeepsEveryPixel) {
  Image noise(37, 21);
  Rng rng(1);
  for (auto& channel : noise.pixels) channel = static_cast<std::uint8_t>(rng.below(256));
  EXPECT_EQ(decoded(encode_png(noise)), noise);
}

TEST(Encode, JpegIsClose) {
  Image smooth(40, 24);
  for (int y = 0; y < smooth.height; ++y) {
    for (int x = 0; x < smooth.width; ++x) {
      std::uint8_t* pixel = smooth.row(y) + 3 * x;
      pixel[0] = static_cast<std::uint8_t>(5 * x);
      pixel[1] = static_cast<std::uint8_t>(9 * y);
      pixel[2] = 128;
    }
  }
  const Image back = decoded(encode_jpeg(smooth, 95));
  ASSERT_EQ(back.width, 40);
  double difference = 0;
  for (std::size_t i = 0; i < back.pixels.size(); ++i) difference += std::abs(back.pixels[i] - smooth.pixels[i]);
  EXPECT_LT(difference / static_cast<double>(back.pixels.size()), 3);
  EXPECT_LT(encode_jpeg(smooth, 10).size(), encode_jpeg(smooth, 95).size());
}

TEST(Encode, NothingCannotBeEncoded) {
  EXPECT_NE(tests::error_of([] { encode_png(Image()); }), "");
  EXPECT_NE(tests::error_of([] { encode_jpeg(Image(2, 2), 0); }), "");
}

}  // namespace
}  // namespace fovea::image
