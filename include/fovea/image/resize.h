// Changing a picture's size, with the rounding of Pillow and torchvision.
#pragma once

#include <cstdint>

#include "fovea/core/export.h"
#include "fovea/image/image.h"

namespace fovea::image {

enum class Interpolation : std::uint8_t { bilinear, bicubic };

// Resizes with a filter that widens when the picture shrinks, so that nothing is skipped: bilinear (a triangle) or
// bicubic (Keys 1981, a = -0.5). Equal bit for bit to Image.resize of Pillow 13: one side, then the other, in 22-bit
// fixed point, rounded to 8 bits between the two. The height goes first when it loses more than twice as many pixels as
// the width (Pillow up to 12 always does the width first, which rounds and clips such pictures differently). Throws
// Error when a side of either picture is not positive, or the result has more than 2^28 pixels.
FOVEA_API Image resize(const Image& image, int width, int height, Interpolation interpolation);

// The rectangle of width x height pixels whose upper left corner is (left, top). Throws Error unless it lies inside.
FOVEA_API Image crop(const Image& image, int left, int top, int width, int height);

// CLIP's evaluation geometry (torchvision's Resize(size) and CenterCrop(size)): the shorter side becomes `size`, the
// longer one size * long / short rounded down; then the middle, its offset rounded to even. Result: size x size.
FOVEA_API Image resize_and_center_crop(const Image& image, int size, Interpolation interpolation);

}  // namespace fovea::image
