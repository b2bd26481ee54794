// Random changes of shape and colour for training. Everything is off by default.
#pragma once

#include <array>

#include "fovea/core/export.h"
#include "fovea/core/rng.h"
#include "fovea/image/image.h"
#include "fovea/image/resize.h"

namespace fovea::image {

using Range = std::array<double, 2>;  // low, high

// Random rectangle, resized to a square (torchvision's RandomResizedCrop); or the evaluation's square, cut out
// anywhere.
struct CropAugment {
  Range scale{1, 1};              // share of the area that is kept; {1, 1}: no random crop
  Range ratio{3.0 / 4, 4.0 / 3};  // width / height of the rectangle, uniform in its logarithm

  bool random_position = false;  // with a scale of {1, 1}, instead of the middle: of use where resizing leaves more

  bool active() const { return scale != Range{1, 1}; }
};

// Random rotation, scaling, stretching, shift and mirroring, done in one pass.
struct AffineAugment {
  double rotation = 0;        // degrees, either way
  Range scale{1, 1};          // size of what is shown, uniform in its logarithm
  double stretch = 0;         // width * s and height / s, with s up to 1 + stretch or down to its inverse
  double shift = 0;           // share of the side, either way, along both axes
  double flip = 0;            // probability of mirroring left and right
  Color fill{255, 255, 255};  // what lies outside the picture

  bool active() const { return rotation != 0 || scale != Range{1, 1} || stretch != 0 || shift != 0 || flip != 0; }
};

// Random colours. The first four are torchvision's ColorJitter, in random order: a factor from [1 - x, 1 + x] (not
// below 0), for hue an angle from [-hue, hue] turns.
struct ColorAugment {
  double brightness = 0, contrast = 0, saturation = 0, hue = 0;
  double matrix = 0;  // every entry of a 3x3 identity is moved by up to this much; colours are multiplied by the result
  double grayscale = 0;  // probability of losing all colour
};

// Gaussian blur (torchvision's GaussianBlur with a probability, as SimCLR uses it).
struct BlurAugment {
  double probability = 0;
  Range sigma{0.1, 2};  // in pixels of the result, uniform

  bool active() const { return probability != 0; }
};

// A random rectangle painted over (torchvision's RandomErasing; Zhong et al. 2017).
struct EraseAugment {
  double probability = 0;
  Range scale{0.02, 0.33};    // share of the area that is lost
  Range ratio{0.3, 3.3};      // height / width of the rectangle, uniform in its logarithm
  Color fill{122, 116, 104};  // the mean colour of CLIP's normalisation: 0 after it

  bool active() const { return probability != 0; }
};

// A map from positions in the result to positions in the source, in pixels from the centre of each:
// source = (xx * x + xy * y + x0, yx * x + yy * y + y0).
struct AffineMap {
  double xx = 1, xy = 0, x0 = 0;
  double yx = 0, yy = 1, y0 = 0;
};

// Row i holds the weights of red, green and blue in channel i of the result.
using ColorMatrix = std::array<std::array<double, 3>, 3>;

// The part of a picture of this size that is kept. Throws Error when it has no pixels.
FOVEA_API Rectangle random_rectangle(Size size, const CropAugment& augment, Rng& rng);

// That part, resized to size x size. Throws Error when the picture is empty.
FOVEA_API Image random_resized_crop(const Image& image, int size, const CropAugment& augment,
                                    Interpolation interpolation, Rng& rng);

FOVEA_API AffineMap random_affine_map(int width, int height, const AffineAugment& augment, Rng& rng);

// The picture seen through the map, bilinear, of the same size; the fill colour continues it on all sides.
FOVEA_API Image warp(const Image& image, const AffineMap& map, Color fill);

// Applies the active parts of `augment`.
FOVEA_API void jitter_color(Image& image, const ColorAugment& augment, Rng& rng);

// With the augmentation's probability.
FOVEA_API void random_blur(Image& image, const BlurAugment& augment, Rng& rng);
FOVEA_API void random_erase(Image& image, const EraseAugment& augment, Rng& rng);

// Convolves with a Gaussian of `sigma` pixels, cut off at 4 sigma; the picture is mirrored at its edges, whose pixels
// are not repeated.
FOVEA_API void gaussian_blur(Image& image, double sigma);

// torchvision's definitions on 0..1 values, each result clamped and rounded to 8 bits.
FOVEA_API void adjust_brightness(Image& image, double factor);  // factor * x
FOVEA_API void adjust_contrast(Image& image, double factor);    // blends with the picture's mean luminance
FOVEA_API void adjust_saturation(Image& image, double factor);  // blends with the pixel's luminance; 0 is grayscale
FOVEA_API void adjust_hue(Image& image, double turns);          // turns the HSV hue; 1 is a full turn
FOVEA_API void apply_color_matrix(Image& image, const ColorMatrix& matrix);

}  // namespace fovea::image
