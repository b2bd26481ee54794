// Scores pictures by what they are most like: prompts of a kind to leave out, or of others.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "fovea/core/export.h"
#include "fovea/data/curate.h"

namespace fovea::eval {

// The probability that a CLIP gives to the unsafe prompts together, among all: softmax over the similarities as they
// were trained. A zero-shot classifier (Radford et al. 2021, section 3.1), and as good as its model and its prompts.
class FOVEA_API PromptScorer final : public data::PictureScorer {
 public:
  // Loads a model folder. Throws Error as models::load_clip, and when there are no prompts of a kind.
  PromptScorer(const std::string& folder, std::vector<std::string> unsafe, std::vector<std::string> safe);
  ~PromptScorer() override;

  std::vector<float> score(std::int64_t count, FunctionRef<image::Image(std::int64_t)> read) const override;
  std::string name() const override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fovea::eval
