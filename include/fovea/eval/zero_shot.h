// Zero-shot classification: classes as texts, the most similar one is the answer (Radford et al. 2021, section 3.1).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "fovea/eval/classification.h"
#include "fovea/eval/embed.h"

namespace fovea::eval {

// "a photo of a {}.", and the seven templates of CLIP's notebook that together do nearly as well as all eighty
// (openai/CLIP, notebooks/Prompt_Engineering_for_ImageNet.ipynb).
FOVEA_API std::vector<std::string> simple_template();
FOVEA_API std::vector<std::string> seven_templates();

// One template a line. Throws Error naming the file, and a line without "{}".
FOVEA_API std::vector<std::string> load_templates(const std::string& path);

// The classifier (C, E) f32, rows of unit length: of each class the mean of its templates' unit vectors, normalised
// again; every "{}" of a template becomes the class's name. As open_clip's build_zero_shot_classifier
// (src/open_clip/zero_shot_classifier.py). Throws Error when classes or templates are none, or a template lacks "{}".
FOVEA_API Tensor zero_shot_classifier(const ClipEncoder& encoder, std::span<const std::string> classes,
                                      std::span<const std::string> templates);

// Scores pictures (N, E) against a classifier (C, E), both of unit length; equal scores: the class with the smaller
// index comes first. Throws Error when extents do not fit, a label is no class, or a picture's similarity is not a
// number.
FOVEA_API ClassificationScores zero_shot_scores(const Tensor& pictures, const Tensor& classifier,
                                                std::span<const std::int64_t> labels);

struct ZeroShotSplit {
  std::string split;
  ClassificationScores scores;
};

// {"step": 0, "eval": {"all": {"zero_shot": SCORES}}}, with each split's scores as to_json gives them.
FOVEA_API std::string zero_shot_line(std::span<const ZeroShotSplit> splits, std::span<const std::string> classes);

}  // namespace fovea::eval
