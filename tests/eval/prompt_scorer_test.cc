#include "fovea/eval/prompt_scorer.h"

#include <gtest/gtest.h>

#include <cmath>

#include "../support/error_of.h"
#include "fovea/core/error.h"
#include "fovea/eval/embed.h"
#include "fovea/image/decode.h"
#include "fovea/models/clip_folder.h"

namespace fovea::eval {
namespace {

const std::string root = FOVEA_SOURCE_DIR "/data/";
const std::string model = root + "models/clip-nano";
const std::vector<std::string> pictures{root + "emoji_clipart/images/noto/1f480.png",
                                        root + "emoji_clipart/images/noto/1f431.png", "missing.png",
                                        root + "emoji_clipart/images/noto/1f382.png"};

const auto read = [](std::int64_t i) { return image::read_image(pictures[static_cast<std::size_t>(i)]); };

TEST(PromptScorer, IsTheSoftmaxOverPrompts) {
  const std::vector<std::string> prompts{"skull", "ghost", "cat face", "birthday cake"};
  const PromptScorer scorer(model, {prompts[0], prompts[1]}, {prompts[2], prompts[3]});
  const std::vector<float> scores = scorer.score(4, read);
  ASSERT_EQ(scores.size(), 4u);

  const models::ClipFolder clip = models::load_clip(model);
  const ClipEncoder encoder{clip.model, clip.tokenizer, clip.transform};
  const Tensor texts = embed_texts(encoder, prompts);
  const double scale = std::exp(clip.model.logit_scale->value().item());
  for (const std::int64_t i : {0, 1, 3}) {
    const Tensor own = embed_pictures(encoder, 1, [&](std::int64_t) { return read(i); }).rows;
    std::vector<double> weights;
    for (std::int64_t t = 0; t < 4; ++t) {
      double cosine = 0;
      for (std::int64_t e = 0; e < own.dim(1); ++e)
        cosine += own.data<float>()[e] * texts.data<float>()[t * own.dim(1) + e];
      weights.push_back(std::exp(scale * cosine));
    }
    const double expected = (weights[0] + weights[1]) / (weights[0] + weights[1] + weights[2] + weights[3]);
    EXPECT_NEAR(scores[static_cast<std::size_t>(i)], expected, 1e-4);
  }
  EXPECT_GT(scores[0], 0.5);
  EXPECT_LT(scores[1], 0.5);
  EXPECT_LT(scores[3], 0.5);
}

TEST(PromptScorer, NamesTellScorersApart) {
  const PromptScorer a(model, {"skull"}, {"cat"}), b(model, {"cat"}, {"skull"}), c(model, {"skull"}, {"cat"});
  EXPECT_NE(a.name(), b.name());
  EXPECT_EQ(a.name(), c.name());
}

TEST(PromptScorer, NeedsPromptsOfBothKinds) {
  EXPECT_NE(tests::error_of([] { PromptScorer(model, {}, {"cat"}); }).find("0 unsafe and 1 safe prompts"),
            std::string::npos);
}

}  // namespace
}  // namespace fovea::eval
