// RandAugment as BLIP uses it.
#pragma once

#include <cstdint>

#include "fovea/core/export.h"
#include "fovea/core/rng.h"
#include "fovea/image/image.h"

namespace fovea::image {

enum class RandOperation : std::uint8_t {
  identity,
  auto_contrast,  // each channel is stretched to 0..255
  brightness,     // times 0.1 + 1.8 * level
  sharpness,      // blended with its smoothed self, by the same factor
  equalize,       // each channel's histogram is made flat
  shear_x,        // by 0.3 * level pixels a pixel, either way; the same for y
  shear_y,
  translate_x,  // by 10 * level pixels, either way; the same for y
  translate_y,
  rotate,  // by 30 * level degrees, either way
};

// Each of `operations` operations is drawn from the ten, and happens with probability 1/2 (Cubuk et al. 2019 in the
// form of salesforce/BLIP transform/randaugment.py, RandomAugment(2, 5)). What lies outside the picture is gray.
struct RandAugment {
  int operations = 0;    // BLIP: 2
  double magnitude = 5;  // 10 times the level, 0 to 10

  bool active() const { return operations != 0; }
};

FOVEA_API void rand_augment(Image& image, const RandAugment& augment, Rng& rng);

// One operation at a level of 0..1; `sign` (1 or -1) is the way of those that go either way.
FOVEA_API void apply(RandOperation operation, double level, double sign, Image& image);

}  // namespace fovea::image
