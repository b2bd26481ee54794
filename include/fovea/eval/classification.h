// How many pictures are taken for what they are.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "fovea/eval/retrieval.h"

namespace fovea::eval {

struct ClassificationScores {
  double top1 = 0, top5 = 0;  // percent of the pictures whose class is among the first 1, 5 answers
  double mean_per_class = 0;  // of the classes' own top-1 accuracies; classes without pictures do not count
  std::int64_t pictures = 0;
  std::vector<std::int64_t> confusion;  // (C, C): how many pictures of a class (row) are taken for a class (column)
};

// Scores the answers for each picture: classes (Hit::candidate), the most likely first, at least one. Throws Error when
// there are not as many answers as labels, a label is none of the classes, or a first answer's score is not a number.
FOVEA_API ClassificationScores classification_scores(std::span<const std::vector<Hit>> answers,
                                                     std::span<const std::int64_t> labels, std::int64_t classes);

// Percent of a class's pictures that are taken for it; NaN for a class without pictures.
FOVEA_API double class_accuracy(const ClassificationScores& scores, std::int64_t index);

// {"top1": ..., "top5": ..., "mean_per_class": ..., "pictures": ..., "classes": {NAME: accuracy, ...},
// "confusion": [[...], ...]}
FOVEA_API std::string to_json(const ClassificationScores& scores, std::span<const std::string> classes);

}  // namespace fovea::eval
