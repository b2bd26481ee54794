#include "fovea/eval/prompt_scorer.h"

#include <algorithm>
#include <cmath>

#include "fovea/core/error.h"
#include "fovea/eval/embed.h"
#include "fovea/eval/search_index.h"
#include "fovea/models/clip_folder.h"

namespace fovea::eval {
namespace {

// By what the cosines are multiplied. A bias is the same for all, and does not change the softmax.
double similarity_scale(const models::ClipModel& model) {
  return model.temperature ? 1 / model.temperature->value().item() : std::exp(model.logit_scale->value().item());
}

std::vector<std::string> joined(std::vector<std::string> first, const std::vector<std::string>& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

}  // namespace

struct PromptScorer::Impl {
  models::ClipFolder clip;
  std::vector<std::string> prompts;
  std::int64_t unsafe;  // so many of the first
  Tensor texts;

  Impl(const std::string& folder, std::vector<std::string> first, const std::vector<std::string>& second)
      : clip(models::load_clip(folder)),
        prompts(joined(first, second)),
        unsafe(std::ssize(first)),
        texts(embed_texts(encoder(), prompts)) {}

  ClipEncoder encoder() const { return {clip.model, clip.tokenizer, clip.transform}; }

  // Of one picture's unit vector.
  float probability(const float* picture) const {
    const double scale = similarity_scale(clip.model);
    const std::int64_t width = texts.dim(1);
    const float* text = texts.data<float>();
    std::vector<double> logits(prompts.size());
    for (double& logit : logits) {
      for (std::int64_t e = 0; e < width; ++e) logit += scale * picture[e] * text[e];
      text += width;
    }
    const double largest = *std::max_element(logits.begin(), logits.end());
    double all = 0, counted = 0;
    for (std::size_t i = 0; i < logits.size(); ++i) {
      const double weight = std::exp(logits[i] - largest);
      all += weight;
      if (static_cast<std::int64_t>(i) < unsafe) counted += weight;
    }
    return static_cast<float>(counted / all);
  }
};

PromptScorer::PromptScorer(const std::string& folder, std::vector<std::string> unsafe, std::vector<std::string> safe) {
  FOVEA_CHECK(!unsafe.empty() && !safe.empty(), "[zero_shot] ", unsafe.size(), " unsafe and ", safe.size(),
              " safe prompts, expected at least one of each");
  impl_ = std::make_unique<Impl>(folder, std::move(unsafe), safe);
}

PromptScorer::~PromptScorer() = default;

std::vector<float> PromptScorer::score(std::int64_t count, FunctionRef<image::Image(std::int64_t)> read) const {
  const EmbeddedPictures embedded = embed_pictures(impl_->encoder(), count, read);
  std::vector<float> scores(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < embedded.kept.size(); ++i) {
    const float* row = embedded.rows.data<float>() + static_cast<std::int64_t>(i) * embedded.rows.dim(1);
    scores[static_cast<std::size_t>(embedded.kept[i])] = impl_->probability(row);
  }
  return scores;
}

std::string PromptScorer::name() const {
  std::string text = concat(embedding_fingerprint(impl_->clip.model, impl_->clip.transform), " ", impl_->unsafe);
  for (const std::string& prompt : impl_->prompts) text += "\n" + prompt;
  return text;
}

}  // namespace fovea::eval
