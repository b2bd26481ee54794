// Classification by the nearest neighbours among labelled pictures.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "fovea/eval/classification.h"

namespace fovea::eval {

struct KnnScores {
  std::int64_t k = 0;
  ClassificationScores weighted;  // a neighbour of cosine s counts exp(s / temperature)
  ClassificationScores majority;  // every neighbour counts one
};

// Classifies the rows of `queries` (M, D) by the k nearest rows of `known` (N, D) by cosine, for each k; rows may have
// any length but 0. Of classes with equal votes the smaller one comes first. As DINO's eval_knn.py (Caron et al. 2021),
// whose temperature is 0.07 and whose k are 10, 20, 100 and 200. Throws Error when labels do not fit, or a k is not 1
// to N.
FOVEA_API std::vector<KnnScores> knn_scores(const Tensor& known, std::span<const std::int64_t> known_labels,
                                            const Tensor& queries, std::span<const std::int64_t> labels,
                                            std::int64_t classes, std::span<const std::int64_t> ks,
                                            double temperature = 0.07);

}  // namespace fovea::eval
