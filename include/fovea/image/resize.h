// Changing a picture's size, with the rounding of Pillow and torchvision.
#pragma once

#include <cstdint>

#include "fovea/core/export.h"
#include "fovea/image/image.h"

namespace fovea::image {

// The numbers are Pillow's, which preprocessor_config.json holds as "resample".
enum class Interpolation : std::uint8_t { nearest, lanczos, bilinear, bicubic, box, hamming };

// Resizes with a filter that widens when the picture shrinks, so that nothing is skipped: bilinear (a triangle),
// bicubic (Keys 1981, a = -0.5), lanczos (3 lobes), box, hamming; or takes the nearest pixel. Equal bit for bit to
// Image.resize of Pillow 13: one side, then the other, in 22-bit fixed point, rounded to 8 bits between the two. The
// height goes first when it loses more than twice as many pixels as the width (Pillow up to 12 always does the width
// first, which rounds and clips such pictures differently). Throws Error when a side of either picture is not positive,
// or the result has more than 2^28 pixels.
FOVEA_API Image resize(const Image& image, int width, int height, Interpolation interpolation);

// A part of a picture, in pixels.
struct Rectangle {
  int left, top, width, height;
};

// As resize, of a part alone: what lies around it has no influence. Throws Error also unless it lies inside.
FOVEA_API Image resize_part(const Image& image, const Rectangle& part, int width, int height,
                            Interpolation interpolation);

// The rectangle of width x height pixels whose upper left corner is (left, top). Throws Error unless it lies inside.
FOVEA_API Image crop(const Image& image, int left, int top, int width, int height);

// The shorter side becomes `size`, the longer one size * long / short rounded down (torchvision's Resize(size)).
FOVEA_API Image resize_shortest(const Image& image, int size, Interpolation interpolation);

// The longer side becomes `size`, the shorter one the nearest whole number, at least 1 (open_clip's ResizeKeepRatio
// with longest = 1).
FOVEA_API Image resize_longest(const Image& image, int size, Interpolation interpolation);

// The picture in the middle of width x height pixels of one colour; an odd pixel goes to the right and below. Throws
// Error when the picture does not fit.
FOVEA_API Image pad(const Image& image, int width, int height, Color fill);

// Where the middle begins when an odd number of pixels is cut off.
enum class CropOffset : std::uint8_t {
  even,  // half a pixel goes to the even neighbour (torchvision's CenterCrop, hence openai/CLIP and open_clip)
  down,  // rounded down (Hugging Face's center_crop)
};

// The middle, size x size. Throws Error when the picture is smaller.
FOVEA_API Image center_crop(const Image& image, int size, CropOffset offset = CropOffset::even);

}  // namespace fovea::image
