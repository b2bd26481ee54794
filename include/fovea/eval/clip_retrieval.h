// Retrieval scores of a CLIP on one split of a data set.
#pragma once

#include <cstdint>

#include "fovea/data/image_text_dataset.h"
#include "fovea/eval/retrieval.h"
#include "fovea/image/decode.h"
#include "fovea/image/transform.h"
#include "fovea/models/clip.h"
#include "fovea/text/tokenizer.h"

namespace fovea::eval {

// Embeds every picture and every distinct caption (after cleaning, so letter case does not count) and ranks them.
// Pictures that cannot be decoded, or have more than `max_pixels` pixels, are left out, as are their captions; one
// warning says how many. Throws Error when none is left.
FOVEA_API Retrieval clip_retrieval(const models::ClipModel& model, const text::Tokenizer& tokenizer,
                                   const image::TransformConfig& transform, const data::ImageTextDataset& dataset,
                                   std::int64_t batch_size, std::int64_t max_pixels = image::default_max_pixels);

}  // namespace fovea::eval
