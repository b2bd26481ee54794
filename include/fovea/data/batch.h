// What the loader delivers and models take.
#pragma once

#include <cstdint>
#include <vector>

#include "fovea/tensor/packed.h"
#include "fovea/tensor/tensor.h"

namespace fovea::data {

// N pictures with one text each.
struct Batch {
  Tensor images;                         // (N, S, S, 3) f32, normalised
  Tensor tokens;                         // (T) i32, the texts one after another
  PackedLayout text;                     // where each text begins
  std::vector<std::int64_t> sample_ids;  // (N) row numbers in the data set
  std::int64_t epoch = 0, index = 0;     // which batch of which epoch

  std::int64_t size() const { return static_cast<std::int64_t>(sample_ids.size()); }
};

}  // namespace fovea::data
