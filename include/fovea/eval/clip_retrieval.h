// Retrieval scores of a CLIP on one split of a data set.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fovea/data/image_text_dataset.h"
#include "fovea/eval/embed.h"
#include "fovea/eval/retrieval.h"
#include "fovea/image/decode.h"

namespace fovea::eval {

// A split as a CLIP sees it.
struct EmbeddedPairs {
  Tensor images, texts;               // (N, E) and (M, E) f32, of unit length
  std::vector<std::string> paths;     // N picture files
  std::vector<std::string> captions;  // M distinct ones, cleaned
  std::vector<Match> matches;
};

// Which pictures and captions take part.
struct PairOptions {
  std::int64_t max_pixels = image::default_max_pixels;  // larger pictures are left out
  bool every_caption = false;                           // all of a picture's captions instead of the first
  bool merge_equal = true;                              // as in caption_set
};

// Embeds every picture and its captions (after cleaning, so letter case does not count). Pictures that cannot be
// decoded or are too large are left out, as are their captions; one warning says how many. Throws Error when none is
// left.
FOVEA_API EmbeddedPairs embed_pairs(const ClipEncoder& encoder, const data::ImageTextDataset& dataset,
                                    const PairOptions& options = {});

// embed_pairs, ranked.
FOVEA_API Retrieval clip_retrieval(const ClipEncoder& encoder, const data::ImageTextDataset& dataset,
                                   const PairOptions& options = {});

}  // namespace fovea::eval
