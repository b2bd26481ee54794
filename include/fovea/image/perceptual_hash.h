// What a picture looks like in a few bytes, to find copies of it.
#pragma once

#include <array>
#include <compare>
#include <cstdint>

#include "fovea/core/export.h"
#include "fovea/image/image.h"

namespace fovea::image {

// Copies that were stored again, scaled, or changed a little in brightness differ in a few bits, other pictures in
// about
// 70. Drawings that share an outline may differ in few bits as well, and then often in their colours.
struct PerceptualHash {
  std::array<std::uint64_t, 4> bits{};    // which of the 16x16 lowest waves of the brightness are strong
  std::array<std::uint8_t, 12> colors{};  // red, green, blue, on average, of the four quarters

  friend auto operator<=>(const PerceptualHash&, const PerceptualHash&) = default;
};

// The brightness on 64x64 pixels, its discrete cosine transform without the constant and above the 16th wave, as PDQ
// has it (facebook/ThreatExchange, pdq: "the PDQ image hashing algorithm", 2018). A bit says whether a coefficient is
// above half the root of their mean square; PDQ asks whether it is above the median, which is near 0, so that the many
// waves that a drawing hardly has flip in a copy. PDQ knows no colours: here their means are kept beside. Throws Error
// when the picture has no pixels.
FOVEA_API PerceptualHash perceptual_hash(const Image& image);

// In how many bits two hashes differ, 0 to 256.
FOVEA_API int hash_distance(const PerceptualHash& a, const PerceptualHash& b);
// The largest difference of any of the mean colours, 0 to 255.
FOVEA_API int color_distance(const PerceptualHash& a, const PerceptualHash& b);

// Whether two pictures are copies as far as the hashes tell: they differ in at most `bits` bits, no mean colour differs
// by more than `colors`, and of the strong waves of both at most a fifth is not shared. The last one is for pictures of
// few strong waves, which would differ in few bits from anything.
FOVEA_API bool looks_same(const PerceptualHash& a, const PerceptualHash& b, int bits, int colors);

}  // namespace fovea::image
