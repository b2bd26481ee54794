// From a decoded picture to a model's input size: for evaluation, and for training with random changes.
#pragma once

#include <cstdint>
#include <string>

#include "fovea/core/export.h"
#include "fovea/core/rng.h"
#include "fovea/image/augment.h"
#include "fovea/image/decode.h"
#include "fovea/image/image.h"
#include "fovea/image/normalize.h"
#include "fovea/image/rand_augment.h"
#include "fovea/image/resize.h"

namespace fovea::image {

enum class ResizeMode : std::uint8_t {
  shortest,  // the shorter side becomes `resize_to`, then the middle is cut out (CLIP)
  squash,    // both sides become `resize_to` (SigLIP, BLIP)
  longest,   // the longer side becomes `resize_to`, the rest is filled with a colour (open_clip's "longest")
  pad,       // the picture is filled up to a square first (LLaVA)
};

struct Augment {
  CropAugment crop;
  AffineAugment affine;
  RandAugment rand_augment;
  ColorAugment color;
  BlurAugment blur;
  EraseAugment erase;
  bool scaled_decode = false;  // large JPEG pictures may be decoded at 1/2, 1/4 or 1/8 of their size (train_reduction)
};

// By default CLIP's evaluation at 224 pixels, and no augmentation.
struct TransformConfig {
  int size = 224;  // side of the result, in pixels
  Interpolation interpolation = Interpolation::bicubic;
  ResizeMode resize_mode = ResizeMode::shortest;
  int resize_to = 0;  // when larger than `size`, which is then cut out of the middle (ALIGN: 346 and 289); 0: `size`
  CropOffset crop_offset = CropOffset::even;
  Color fill{0, 0, 0};        // of the modes longest and pad
  Alpha alpha = Alpha::drop;  // for whoever decodes the picture
  Normalization normalization;
  Augment augment;  // training only
};

// size x size, without augmentation. Throws Error when the picture is empty.
FOVEA_API Image eval_transform(const Image& image, const TransformConfig& config);

// size x size: random crop (or the evaluation's geometry when that is off), then affine, RandAugment, colour, blur,
// erasing. The result is decided by the picture, the configuration and the generator's key.
FOVEA_API Image train_transform(const Image& image, const TransformConfig& config, Rng& rng);

// By how much the decoder may reduce a picture of this size for the train_transform with this generator: the largest of
// 1, 2, 4 and 8 that leaves what is resized there at least as large as the result. 1 unless
// config.augment.scaled_decode.
FOVEA_API int train_reduction(Size size, const TransformConfig& config, Rng rng);

// As train_transform, of a picture that was `size` before it was reduced: takes the same part of it.
FOVEA_API Image train_transform(const Image& image, Size size, const TransformConfig& config, Rng& rng);

// Whether train_transform gives other pictures in every epoch.
FOVEA_API bool is_random(const Augment& augment);

// Throws Error, naming the key, unless every number is in its range: size positive, probabilities within [0, 1], ...
FOVEA_API void check(const TransformConfig& config);

// As a JSON object, whose keys are the fields' names ("mean" and "std" stand beside "size"). Missing keys keep the
// values of `defaults`. Throws Error, naming the key, for unknown keys, wrong types and numbers out of range; `path` is
// where the object stands in a larger file ("data.transform").
FOVEA_API std::string to_json(const TransformConfig& config);
FOVEA_API TransformConfig parse_transform_config(const std::string& json, const TransformConfig& defaults = {},
                                                 const std::string& path = "");

}  // namespace fovea::image
