#include "fovea/image/perceptual_hash.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "fovea/core/error.h"
#include "fovea/core/rng.h"
#include "fovea/image/decode.h"
#include "fovea/image/encode.h"
#include "fovea/image/resize.h"

namespace fovea::image {
namespace {

Image random_picture(std::uint64_t seed, int side) {
  Rng rng(seed);
  Image coarse(9, 9);
  for (std::uint8_t& value : coarse.pixels) value = static_cast<std::uint8_t>(rng.below(256));
  return resize(coarse, side, side, Interpolation::bicubic);
}

// The cosine transform by its definition, in double.
TEST(PerceptualHash, SaysWhichWavesAreStrong) {
  const Image picture = random_picture(1, 64);
  const PerceptualHash hash = perceptual_hash(picture);
  std::vector<double> waves(256);
  for (int i = 0; i < 16; ++i) {
    for (int k = 0; k < 16; ++k) {
      for (int y = 0; y < 64; ++y) {
        for (int x = 0; x < 64; ++x) {
          const std::uint8_t* p = picture.row(y) + 3 * x;
          waves[static_cast<std::size_t>(16 * i + k)] += (0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2]) *
                                                         std::cos(M_PI * (i + 1) * (2 * y + 1) / 128) *
                                                         std::cos(M_PI * (k + 1) * (2 * x + 1) / 128);
        }
      }
    }
  }
  double squares = 0;
  for (const double wave : waves) squares += wave * wave;
  const double threshold = 0.5 * std::sqrt(squares / 256);
  for (std::size_t i = 0; i < waves.size(); ++i) {
    if (std::abs(waves[i] - threshold) < 0.2) continue;  // rounding may decide
    EXPECT_EQ((hash.bits[i / 64] >> (i % 64) & 1) != 0, waves[i] > threshold) << i;
  }
}

TEST(PerceptualHash, CopiesAreNearAndOthersAreNot) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const Image picture = random_picture(seed, 200);
    const PerceptualHash hash = perceptual_hash(picture);
    const std::string stored = encode_jpeg(picture, 60);
    const Image jpeg = decode({reinterpret_cast<const std::uint8_t*>(stored.data()), stored.size()}, "stored");
    const Image small = resize(picture, 90, 70, Interpolation::bilinear);
    for (const Image& copy : {jpeg, small}) {
      EXPECT_LE(hash_distance(hash, perceptual_hash(copy)), 15);
      EXPECT_LE(color_distance(hash, perceptual_hash(copy)), 8);
      EXPECT_TRUE(looks_same(hash, perceptual_hash(copy), 15, 12));
    }
    EXPECT_GT(hash_distance(hash, perceptual_hash(random_picture(seed + 100, 200))), 30);
  }
}

TEST(PerceptualHash, ColorsTellShapesApart) {
  Image red(64, 64), blue(64, 64);
  for (std::size_t i = 0; i < red.pixels.size(); ++i) {
    red.pixels[i] = i % 3 == 0 ? 200 : 20;
    blue.pixels[i] = i % 3 == 2 ? 200 : 20;
  }
  EXPECT_EQ(hash_distance(perceptual_hash(red), perceptual_hash(blue)), 0);
  EXPECT_EQ(color_distance(perceptual_hash(red), perceptual_hash(blue)), 180);
  EXPECT_EQ(perceptual_hash(red).bits, (std::array<std::uint64_t, 4>{}));
}

TEST(PerceptualHash, PicturesOfFewStrongWavesMustShareThem) {
  const auto with_bits = [](std::uint64_t bits) { return PerceptualHash{{bits, 0, 0, 0}, {}}; };
  EXPECT_TRUE(looks_same(with_bits(0), with_bits(0), 15, 12));
  EXPECT_FALSE(looks_same(with_bits(0x3), with_bits(0xC), 15, 12));
  EXPECT_FALSE(looks_same(with_bits(0xFFFFF), with_bits(0xFFFFF ^ 0x7F), 15, 12));  // 7 of 20 and 13
  EXPECT_TRUE(looks_same(with_bits(0xFFFFF), with_bits(0xFFFFF ^ 0x3F), 15, 12));
  EXPECT_FALSE(looks_same(with_bits(0xFFFFF), with_bits(0xFFFFF ^ 0x3F), 5, 12));
}

TEST(PerceptualHash, NeedsPixels) { EXPECT_THROW(perceptual_hash(Image()), Error); }

}  // namespace
}  // namespace fovea::image
