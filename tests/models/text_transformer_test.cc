#include "fovea/models/text_transformer.h"

#include <gtest/gtest.h>

#include "model_check.h"

namespace fovea::models {
namespace {

using testing::captions;
using Captions = std::vector<std::vector<std::int32_t>>;

TextTransformerConfig tiny(TextPool pool) {
  TextTransformerConfig config;
  config.vocabulary = 12;
  config.context = 6;
  config.transformer = {8, 2, 2, 12, Activation::gelu, ops::AttentionKind::causal, 1e-5};
  config.pool = pool;
  return config;
}

TextTransformer make(const TextTransformerConfig& config) {
  nn::Init init(1, DType::f64);
  TextTransformer model(config, init);
  testing::perturb(nn::collect(model));
  return model;
}

Tensor features(const TextTransformer& model, const Captions& texts) {
  const data::Batch batch = captions(texts);
  return model(batch.tokens, nn::Ctx{}.with(batch.text)).value();
}

TEST(TextTransformer, PackedCaptionsEqualEachAlone) {
  const Captions texts{{1, 5, 11}, {1, 11}, {1, 7, 7, 2, 3, 11}, {4}};
  for (const TextPool pool : {TextPool::eot, TextPool::last, TextPool::first, TextPool::mean}) {
    const TextTransformer model = make(tiny(pool));
    const Tensor all = features(model, texts);
    ASSERT_EQ(all.shape(), (Shape{4, 8}));
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const auto row = static_cast<std::int64_t>(i);
      EXPECT_LT(max_abs_difference(all.rows(row, row + 1), features(model, {texts[i]})), 1e-12);
    }
  }
}

// A causal token does not see what follows it, so what a pool picks is the last token of a shorter caption.
TEST(TextTransformer, PoolsPickTheTokensTheyName) {
  const Tensor shortened = features(make(tiny(TextPool::last)), {{1, 5, 11}, {1}});
  const Captions text{{1, 5, 11, 3, 11, 2}};  // the first of the largest ids
  EXPECT_LT(max_abs_difference(features(make(tiny(TextPool::eot)), text), shortened.rows(0, 1)), 1e-12);
  EXPECT_LT(max_abs_difference(features(make(tiny(TextPool::first)), text), shortened.rows(1, 2)), 1e-12);
  EXPECT_GT(max_abs_difference(features(make(tiny(TextPool::last)), text), shortened.rows(0, 1)), 1e-4);
}

TEST(TextTransformer, MeanPoolAveragesTheNormedTokens) {
  const Tensor each = features(make(tiny(TextPool::last)), {{1}, {1, 5}, {1, 5, 11}});
  const Tensor mean = features(make(tiny(TextPool::mean)), {{1, 5, 11}});
  for (std::int64_t i = 0; i < 8; ++i)
    EXPECT_NEAR(mean.at(i), (each.at(i) + each.at(8 + i) + each.at(16 + i)) / 3, 1e-12);
}

TEST(TextTransformer, FullAttentionSeesWhatFollows) {
  TextTransformerConfig config = tiny(TextPool::first);
  config.transformer.attention = ops::AttentionKind::full;
  const Tensor y = features(make(config), {{1, 5}, {1, 6}});
  EXPECT_GT(max_abs_difference(y.rows(0, 1), y.rows(1, 2)), 1e-5);
  const Tensor causal = features(make(tiny(TextPool::first)), {{1, 5}, {1, 6}});
  EXPECT_EQ(max_abs_difference(causal.rows(0, 1), causal.rows(1, 2)), 0);
}

TEST(TextTransformer, PositionsStartAnewInEveryCaption) {
  TextTransformer model = make(tiny(TextPool::last));
  const Captions texts{{1, 5}, {1, 5}};
  const Tensor y = features(model, texts);
  EXPECT_EQ(max_abs_difference(y.rows(0, 1), y.rows(1, 2)), 0);
  model.position_embedding.value().rows(1, 2).fill(3);
  EXPECT_GT(max_abs_difference(features(model, texts), y), 1e-4);
  const Tensor moved = features(model, texts);
  model.position_embedding.value().rows(2, 6).fill(9);
  EXPECT_EQ(max_abs_difference(features(model, texts), moved), 0);
}

std::string error_of(const TextTransformer& model, const data::Batch& batch) {
  try {
    model(batch.tokens, nn::Ctx{}.with(batch.text));
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(TextTransformer, RefusesCaptionsThatDoNotFit) {
  for (const TextPool pool : {TextPool::eot, TextPool::mean}) {
    const TextTransformer model = make(tiny(pool));
    EXPECT_NE(error_of(model, captions({{1, 2}, {}})).find("caption 1 of the batch has no tokens"), std::string::npos);
    EXPECT_NE(error_of(model, captions({{1, 2, 3, 4, 5, 6, 7}})).find("the context is 6"), std::string::npos);
    EXPECT_NE(error_of(model, captions({{1, 12}})).find("id 12"), std::string::npos);
    EXPECT_NE(error_of(model, captions({{-1}})).find("id -1"), std::string::npos);
    data::Batch batch = captions({{1, 2, 3}});
    batch.tokens = batch.tokens.rows(0, 1);
    EXPECT_NE(error_of(model, batch).find("there are 1 tokens, the layout has 3"), std::string::npos);
    batch.text = {};
    EXPECT_NE(error_of(model, batch).find("the layout has 0"), std::string::npos);
    batch.tokens = arange(3);
    EXPECT_NE(error_of(model, batch).find("expected i32"), std::string::npos);
  }
}

}  // namespace
}  // namespace fovea::models
