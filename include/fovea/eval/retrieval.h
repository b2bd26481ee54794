// How well images find their captions, and captions their images.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "fovea/core/export.h"
#include "fovea/tensor/tensor.h"

namespace fovea::eval {

// Scores of one direction.
struct RetrievalScores {
  double r1 = 0, r5 = 0, r10 = 0;  // percent of the queries with a right answer among the first 1, 5, 10
  std::int64_t median_rank = 0;    // of the best right answer, counted from 1; rounded down between two ranks
  std::int64_t queries = 0, candidates = 0;
  double mean_rank = 0;  // of the best right answers, counted from 1
};

struct Retrieval {
  RetrievalScores i2t, t2i;  // images look for texts, texts for images
};

// Says that a text is a right answer for an image, and the image for the text: row numbers.
struct Match {
  std::int64_t image = 0, text = 0;

  friend bool operator==(const Match&, const Match&) = default;
};

// Ranks all texts for each image and all images for each text by the dot product of `images` (N, E) and `texts` (M, E),
// both f32 and of unit length. Among equal scores the smaller index comes first; of several right answers the best one
// counts (COCO's five captions). A score that is NaN ranks last. Rows without a right answer are candidates but no
// queries. Throws Error when a side is empty, extents or types do not fit, or a match names a row that does not exist.
// Ranks as open_clip's get_clip_metrics (src/open_clip_train/metrics.py).
FOVEA_API Retrieval retrieval(const Tensor& images, const Tensor& texts, std::span<const Match> matches);

// A candidate that was found, with its dot product.
struct Hit {
  std::int64_t candidate = 0;
  float score = 0;
};

// Of each row of `queries` (N, E), the first k rows of `candidates` (M, E), or all M when there are fewer; order and
// errors as of `retrieval`.
FOVEA_API std::vector<std::vector<Hit>> top_k(const Tensor& queries, const Tensor& candidates, std::int64_t k);

// The distinct captions of a split, in order of appearance, and which image has which: images that share a caption are
// all right answers for it. `captions` holds one caption for each image; what counts as equal (case) is the caller's.
struct CaptionSet {
  std::vector<std::string> texts;
  std::vector<Match> matches;
};
FOVEA_API CaptionSet distinct_captions(std::span<const std::string> captions);

// The same of any number of captions an image. Unless equal ones are merged, each is a text of its own and a right
// answer for its own image alone, as in COCO's published scores (BLIP's train_retrieval.py).
FOVEA_API CaptionSet caption_set(std::span<const std::vector<std::string>> captions, bool merge_equal);

}  // namespace fovea::eval
