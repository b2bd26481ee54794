// What the loader delivers and models take.
#pragma once

#include <cstdint>
#include <vector>

#include "fovea/core/export.h"
#include "fovea/core/hash.h"
#include "fovea/image/normalize.h"
#include "fovea/tensor/packed.h"
#include "fovea/tensor/tensor.h"

namespace fovea::data {

// N pictures with one text each.
struct Batch {
  Tensor images;  // (N, S, S, 3), pixels as u8 or normalised numbers; with a feature cache, of `uncached` alone
  image::Normalization normalization;    // of images that are u8
  Tensor tokens;                         // (T) i32, the texts one after another
  PackedLayout text;                     // where each text begins
  std::vector<std::int64_t> sample_ids;  // (N) row numbers in the data set
  std::int64_t epoch = 0, index = 0;     // which batch of which epoch

  // With a feature cache (LoaderOptions::features) only.
  Tensor image_features;               // (N, D) f32; the rows of `uncached` are still to be computed
  std::vector<Hash128> feature_keys;   // (N) what they are kept under
  std::vector<std::int64_t> uncached;  // rows whose pictures are in `images`, in this order

  // What a tower reads: (N, S, S, 3), normalised. Pictures wait as u8, a quarter of their numbers' memory, until here.
  FOVEA_API Tensor normalized_images(DType dtype) const;

  std::int64_t size() const { return static_cast<std::int64_t>(sample_ids.size()); }
};

}  // namespace fovea::data
