// What a picture looks like in a few bytes, to find copies of it.
#pragma once

#include <array>
#include <compare>
#include <cstdint>

#include "fovea/core/export.h"
#include "fovea/image/image.h"

namespace fovea::image {

// Copies that were stored again, scaled, or changed a little in brightness differ in a few bits; other pictures differ
// in about half of them, but drawings that share an outline in much fewer, and then often in their colours.
struct PerceptualHash {
  std::array<std::uint64_t, 4> bits{};    // signs of the 16x16 lowest waves of the brightness
  std::array<std::uint8_t, 12> colors{};  // red, green, blue, on average, of the four quarters

  friend auto operator<=>(const PerceptualHash&, const PerceptualHash&) = default;
};

// As PDQ (facebook/ThreatExchange, pdq: "the PDQ image hashing algorithm", 2018): brightness on 64x64 pixels, its
// discrete cosine transform without the constant and above the 16th wave, each coefficient against their median. PDQ
// knows no colours; the mean ones of the quarters are kept beside. Throws Error when the picture has no pixels.
FOVEA_API PerceptualHash perceptual_hash(const Image& image);

// In how many bits two hashes differ, 0 to 256.
FOVEA_API int hash_distance(const PerceptualHash& a, const PerceptualHash& b);
// The largest difference of any of the mean colours, 0 to 255.
FOVEA_API int color_distance(const PerceptualHash& a, const PerceptualHash& b);

}  // namespace fovea::image
