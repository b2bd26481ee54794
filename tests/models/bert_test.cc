#include "fovea/models/bert.h"

#include <gtest/gtest.h>

#include <cmath>

#include "../support/error_of.h"
#include "fovea/models/clip.h"
#include "fovea/objectives/info_nce.h"
#include "fovea/ops/reduce.h"
#include "model_check.h"

namespace fovea::models {
namespace {

using tests::error_of;

BertConfig tiny(double dropout = 0) {
  BertConfig config;
  config.vocabulary = 11;
  config.context = 6;
  config.token_types = 3;
  config.transformer = {15, 2, 3, 13, Activation::gelu, ops::AttentionKind::full, 1e-12};
  config.dropout = dropout;
  return config;
}

// Lengths 3, 5 and 4.
const std::vector<std::vector<std::int32_t>> texts{{1, 5, 10}, {1, 2, 0, 4, 10}, {1, 7, 2, 10}};

template <class Model>
Model make(const BertConfig& config) {
  nn::Init init(1, DType::f64);
  Model model(config, init);
  testing::perturb(nn::collect(model));
  return model;
}

nn::Ctx context(const data::Batch& batch, bool training = false) {
  nn::Ctx ctx{.training = training};
  ctx.rng = RngKey{7};
  return ctx.with(batch.text);
}

TEST(Bert, NamesAreHuggingFaces) {
  BertConfig config = tiny();
  config.transformer.layers = 1;
  config.pooler = true;
  const BertForMaskedLM model = make<BertForMaskedLM>(config);
  const std::vector<std::string> names = testing::paths_of(nn::collect(model));
  for (const char* name :
       {"bert.embeddings.word_embeddings.weight", "bert.embeddings.position_embeddings.weight",
        "bert.embeddings.token_type_embeddings.weight", "bert.embeddings.LayerNorm.weight",
        "bert.encoder.layer.0.attention.self.query.weight", "bert.encoder.layer.0.attention.self.value.bias",
        "bert.encoder.layer.0.attention.output.dense.bias", "bert.encoder.layer.0.attention.output.LayerNorm.weight",
        "bert.encoder.layer.0.intermediate.dense.weight", "bert.encoder.layer.0.output.dense.weight",
        "bert.encoder.layer.0.output.LayerNorm.bias", "bert.pooler.dense.weight", "cls.predictions.bias",
        "cls.predictions.transform.dense.weight", "cls.predictions.transform.LayerNorm.bias"})
    EXPECT_EQ(std::count(names.begin(), names.end(), name), 1) << name;
  EXPECT_EQ(names.size(), 5 + 16 + 2 + 5);
}

TEST(Bert, GradientsOfTheMaskedLanguageModel) {
  BertConfig config = tiny(0.3);
  config.padding_token = -1;
  for (const bool training : {false, true}) {
    const BertForMaskedLM model = make<BertForMaskedLM>(config);
    const data::Batch batch = testing::captions(texts);
    const Tensor labels = from_values<std::int32_t>({12}, {-100, 3, -100, -100, 2, -100, 9, 10, -100, -100, 0, -100});
    const Tensor types = from_values<std::int32_t>({12}, {0, 0, 1, 0, 2, 2, 1, 1, 0, 0, 0, 0});
    const auto loss = [&] { return model.loss(batch.tokens, labels, context(batch, training), types); };
    const auto result = testing::check_gradients(nn::collect(model), loss);
    EXPECT_TRUE(result) << "training " << training << ": " << result.message;
  }
}

TEST(Bert, GradientsThroughThePooler) {
  BertConfig config = tiny();
  config.pooler = true;
  config.padding_token = -1;
  const Bert model = make<Bert>(config);
  const data::Batch batch = testing::captions(texts);
  const Tensor weights = testing::normal_inputs({{3, 15}}, 4)[0];
  const nn::Ctx ctx = context(batch);
  const auto loss = [&] { return ops::sum(ops::mul(model.pooled(model(batch.tokens, ctx), ctx), Var(weights))); };
  const auto result = testing::check_gradients(nn::collect(model), loss);
  EXPECT_TRUE(result) << result.message;
}

TEST(Bert, GradientsAsClipsTextTower) {
  BertConfig config = tiny();
  config.padding_token = -1;
  config.token_types = 1;  // of more than one, those that nothing reads would have no gradient to compare
  VisionTransformerConfig image;
  image.image_size = 4;
  image.patch_size = 2;
  image.transformer = {8, 1, 2, 12, Activation::quick_gelu, ops::AttentionKind::full, 1e-5};
  nn::Init init(1, DType::f64);
  const ClipModel model({image, config, 6}, init);
  testing::perturb(nn::collect(model));
  data::Batch batch = testing::captions(texts);
  batch.images = testing::random_images(3, 4);
  const nn::Ctx ctx{.training = true};
  const auto loss = [&] { return objectives::InfoNce{}(model.embed(batch, ctx), ctx).total; };
  const auto result = testing::check_gradients(nn::collect(model), loss);
  EXPECT_TRUE(result) << result.message;
}

// The loss and the gradients are those of the logits of every token.
TEST(Bert, LossIsTheCrossEntropyOfTheLogits) {
  const BertForMaskedLM model = make<BertForMaskedLM>(tiny());
  const data::Batch batch = testing::captions(texts);
  const nn::Ctx ctx = context(batch);
  const Tensor labels = from_values<std::int64_t>({12}, {-100, 3, -100, -100, 2, -100, 9, 10, -100, -100, 0, -100});
  const Var plain = ops::cross_entropy(model(batch.tokens, ctx), labels);
  backward(plain);
  std::vector<Tensor> expected;
  for (const nn::ParamEntry& entry : nn::collect(model)) expected.push_back(entry.grad().clone());
  for (const nn::ParamEntry& entry : nn::collect(model)) entry.leaf->node->has_grad = false;
  const Var loss = model.loss(batch.tokens, labels, ctx);
  backward(loss);
  EXPECT_NEAR(loss.item(), plain.item(), 1e-12);
  std::size_t i = 0;
  for (const nn::ParamEntry& entry : nn::collect(model))
    EXPECT_LE(testing::relative_error(entry.grad(), expected[i++], 1e-6), 1e-9) << entry.path;
  EXPECT_NE(error_of([&] { model.loss(batch.tokens, full({12}, -100, DType::i64), ctx); }).find("nothing to predict"),
            std::string::npos);
}

// The first token's state is the same whether or not the last layer computes the others, with dropout too.
TEST(Bert, LastLayerMayComputeTheFirstTokensAlone) {
  for (const bool training : {false, true}) {
    const Bert model = make<Bert>(tiny(0.4));
    const data::Batch batch = testing::captions(texts);
    nn::Ctx ctx = context(batch, training);
    const Tensor few = model(batch.tokens, ctx).value();
    ctx.every_token = true;
    EXPECT_LE(testing::relative_error(few, model(batch.tokens, ctx).value(), 1e-6), 1e-12) << training;
  }
}

TEST(Bert, DropoutDependsOnTheSampleAndTheStep) {
  const Bert model = make<Bert>(tiny(0.4));
  data::Batch batch = testing::captions(texts);
  const Tensor all = model(batch.tokens, context(batch, true)).value();
  EXPECT_EQ(count_different_bits(all, model(batch.tokens, context(batch, true)).value()), 0);
  data::Batch last = testing::captions({texts[2]});
  last.text.sample_ids = from_values<std::int64_t>({1}, {2});
  EXPECT_LE(testing::relative_error(model(last.tokens, context(last, true)).value(), all.rows(2, 3), 1e-6), 1e-12);
  nn::Ctx next = context(batch, true);
  next.rng = RngKey{8};
  EXPECT_GT(testing::relative_error(model(batch.tokens, next).value(), all, 1e-6), 0.01);
  EXPECT_GT(testing::relative_error(model(batch.tokens, context(batch)).value(), all, 1e-6), 0.01);
}

TEST(Bert, PaddingTokenTakesNoGradientWhereItIsRead) {
  const auto gradient_of_row_0 = [](std::int64_t padding) {
    BertConfig config = tiny();
    config.padding_token = padding;
    const Bert model = make<Bert>(config);
    const data::Batch batch = testing::captions(texts);
    const nn::Ctx ctx = context(batch);
    const Tensor weights = testing::normal_inputs({{12, 15}}, 4)[0];
    backward(ops::sum(ops::mul(model.hidden(batch.tokens, ctx), Var(weights))));
    const Tensor grad = model.word_embeddings.weight.grad();
    EXPECT_GT(max_abs(grad.rows(1, 2)), 1e-3);
    return max_abs(grad.rows(0, 1));
  };
  EXPECT_EQ(gradient_of_row_0(0), 0);
  EXPECT_GT(gradient_of_row_0(-1), 1e-3);
  nn::Init init(1);
  EXPECT_EQ(max_abs(Bert(tiny(), init).word_embeddings.weight.value().rows(0, 1)), 0);
}

TEST(Bert, InputsThatDoNotFitAreRefused) {
  const Bert model = make<Bert>(tiny());
  const data::Batch batch = testing::captions(texts);
  const auto expect = [](const std::string& text, const std::string& part) {
    EXPECT_NE(text.find(part), std::string::npos) << "no \"" << part << "\" in: " << text;
  };
  const data::Batch longer = testing::captions({{1, 2, 3, 4, 5, 6, 7}});
  expect(error_of([&] { model(longer.tokens, context(longer)); }), "a text has 7 tokens, the context is 6");
  expect(error_of([&] { model(batch.tokens, nn::Ctx{}); }), "there are 12 tokens, the layout has 0");
  expect(error_of([&] { model(batch.tokens, context(batch), zeros({3}, DType::i32)); }), "token types are (3,)");
  expect(error_of([&] { model(batch.tokens, context(batch), full({12}, 3, DType::i32)); }), "table of 3 entries");
  expect(error_of([&] { model.pooled(Var(zeros({3, 15}, DType::f64)), context(batch)); }), "no pooler");
  BertConfig config = tiny();
  config.padding_token = 11;
  expect(error_of([&] { make<Bert>(config); }), "the padding token is 11, the vocabulary has 11");
}

}  // namespace
}  // namespace fovea::models
