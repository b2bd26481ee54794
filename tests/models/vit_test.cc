#include "fovea/models/vit.h"

#include <gtest/gtest.h>

#include "model_check.h"

namespace fovea::models {
namespace {

VisionTransformerConfig tiny() {
  VisionTransformerConfig config;
  config.image_size = 6;
  config.patch_size = 2;
  config.transformer = {8, 2, 2, 12, Activation::quick_gelu, ops::AttentionKind::full, 1e-12};
  return config;
}

VisionTransformer make(const VisionTransformerConfig& config) {
  nn::Init init(1, DType::f64);
  VisionTransformer model(config, init);
  testing::perturb(nn::collect(model));
  return model;
}

Tensor features(const VisionTransformer& model, const Tensor& images) { return model(images, nn::Ctx{}).value(); }

TEST(Vit, FeaturesAreOneRowPerImageWhateverTheBatch) {
  for (const bool class_token : {true, false}) {
    VisionTransformerConfig config = tiny();
    config.class_token = class_token;
    const VisionTransformer model = make(config);
    const Tensor images = testing::random_images(3, 6);
    const Tensor all = features(model, images);
    ASSERT_EQ(all.shape(), (Shape{3, 8}));
    EXPECT_EQ(model.features(), 8);
    for (std::int64_t i = 0; i < 3; ++i)
      EXPECT_LT(max_abs_difference(all.rows(i, i + 1), features(model, images.rows(i, i + 1))), 1e-12);
    EXPECT_GT(max_abs_difference(all.rows(0, 1), all.rows(1, 2)), 1e-3);
  }
}

// Swaps two patches of every image, counted row by row.
Tensor swap_patches(const Tensor& images, std::int64_t a, std::int64_t b) {
  constexpr std::int64_t grid = 3, patch = 2, side = 6, channels = 3;
  Tensor swapped = images.clone();
  const auto at = [&](std::int64_t n, std::int64_t p, std::int64_t y, std::int64_t x, std::int64_t c) {
    return ((n * side + p / grid * patch + y) * side + p % grid * patch + x) * channels + c;
  };
  for (std::int64_t n = 0; n < images.dim(0); ++n) {
    for (std::int64_t y = 0; y < patch; ++y) {
      for (std::int64_t x = 0; x < patch; ++x) {
        for (std::int64_t c = 0; c < channels; ++c) {
          swapped.mutable_data<double>()[at(n, a, y, x, c)] = images.at(at(n, b, y, x, c));
          swapped.mutable_data<double>()[at(n, b, y, x, c)] = images.at(at(n, a, y, x, c));
        }
      }
    }
  }
  return swapped;
}

void swap_rows(Tensor& table, std::int64_t a, std::int64_t b) {
  const Tensor first = table.rows(a, a + 1).clone();
  table.rows(a, a + 1).copy_from(table.rows(b, b + 1));
  table.rows(b, b + 1).copy_from(first);
}

// The blocks do not know the order of tokens, so patches may trade places if their positions do: this pins which row
// of the position table belongs to which patch.
TEST(Vit, PatchesMayMoveWithTheirPositions) {
  for (const bool class_token : {true, false}) {
    VisionTransformerConfig config = tiny();
    config.class_token = class_token;
    VisionTransformer model = make(config);
    const Tensor images = testing::random_images(2, 6), moved = swap_patches(images, 1, 5);
    const Tensor before = features(model, images);
    EXPECT_GT(max_abs_difference(features(model, moved), before), 1e-4);
    const std::int64_t first = class_token ? 1 : 0;  // row 0 is the class token's
    swap_rows(model.position_embedding.value(), first + 1, first + 5);
    EXPECT_LT(max_abs_difference(features(model, moved), before), 1e-12);
  }
}

// A layer norm in front makes the features blind to the scale of the tokens.
TEST(Vit, PreNormHidesTheScaleOfTheTokens) {
  for (const bool pre_norm : {true, false}) {
    VisionTransformerConfig config = tiny();
    config.pre_norm = pre_norm;
    VisionTransformer model = make(config);
    EXPECT_EQ(model.pre_layrnorm.has_value(), pre_norm);
    const Tensor images = testing::random_images(2, 6);
    const Tensor before = features(model, images);
    for (nn::Param* p : {&*model.class_embedding, &model.patch_embedding.weight, &model.position_embedding}) {
      auto* x = p->value().mutable_data<double>();
      for (std::int64_t i = 0; i < p->value().numel(); ++i) x[i] *= 3;
    }
    const double change = max_abs_difference(features(model, images), before);
    if (pre_norm) {
      EXPECT_LT(change, 1e-9);
    } else {
      EXPECT_GT(change, 1e-3);
    }
  }
}

// The row, normalised as a layer norm with gain and bias does.
std::vector<double> normed(const std::vector<double>& row, const nn::LayerNorm& norm) {
  const auto n = static_cast<double>(row.size());
  double mean = 0, variance = 0;
  for (double x : row) mean += x / n;
  for (double x : row) variance += (x - mean) * (x - mean) / n;
  std::vector<double> y;
  for (double x : row) {
    const auto i = static_cast<std::int64_t>(y.size());
    y.push_back((x - mean) / std::sqrt(variance + norm.eps) * norm.weight.value().at(i) + norm.bias.value().at(i));
  }
  return y;
}

// With nothing projected back in the blocks, the tokens arrive at the pool as they were embedded.
TEST(Vit, PoolsTheNormedClassTokenOrTheMeanOfTheNormedTokens) {
  for (const bool class_token : {true, false}) {
    VisionTransformerConfig config = tiny();
    config.class_token = class_token;
    config.pre_norm = false;
    VisionTransformer model = make(config);
    for (nn::TransformerBlock& block : model.encoder.layers) {
      for (nn::Linear* back : {&block.self_attn.out_proj, &block.mlp.down}) {
        back->weight.value().fill(0);
        back->bias->value().fill(0);
      }
    }
    const Tensor images = testing::random_images(1, 6);
    const Tensor patches = model.patch_embedding(images, nn::Ctx{}).value();  // (1, 3, 3, 8)
    const Tensor& positions = model.position_embedding.value();
    std::vector<double> expected(8);
    const std::int64_t tokens = class_token ? 1 : 9;
    for (std::int64_t t = 0; t < tokens; ++t) {
      std::vector<double> token;
      for (std::int64_t i = 0; i < 8; ++i) {
        const double content = class_token ? model.class_embedding->value().at(i) : patches.at(t * 8 + i);
        token.push_back(content + positions.at(t * 8 + i));
      }
      token = normed(token, model.post_layernorm);
      for (std::size_t i = 0; i < 8; ++i) expected[i] += token[i] / static_cast<double>(tokens);
    }
    EXPECT_LT(max_abs_difference(features(model, images), from_values<double>({1, 8}, expected)), 1e-12);
  }
}

TEST(Vit, PatchBiasShiftsThePatchesAndNotTheClassToken) {
  VisionTransformerConfig config = tiny();
  config.patch_bias = true;
  VisionTransformer model = make(config);
  const Tensor images = testing::random_images(2, 6);
  const Tensor before = features(model, images);
  Tensor& bias = model.patch_embedding.bias->value();
  auto* positions = model.position_embedding.value().mutable_data<double>();
  for (std::int64_t row = 1; row < 10; ++row) {
    for (std::int64_t i = 0; i < 8; ++i) positions[row * 8 + i] += bias.at(i);
  }
  EXPECT_GT(max_abs_difference(features(model, images), before), 1e-4);
  bias.fill(0);
  EXPECT_LT(max_abs_difference(features(model, images), before), 1e-12);
  EXPECT_FALSE(make(tiny()).patch_embedding.bias.has_value());
}

TEST(Vit, EveryBlockHasTheActivationAsked) {
  VisionTransformerConfig config = tiny();
  const Tensor images = testing::random_images(1, 6);
  const Tensor quick = features(make(config), images);
  config.transformer.activation = Activation::gelu;
  const VisionTransformer model = make(config);
  for (const auto& block : model.encoder.layers) EXPECT_EQ(block.mlp.activation, Activation::gelu);
  const double change = max_abs_difference(features(model, images), quick);
  EXPECT_GT(change, 1e-5);
  EXPECT_LT(change, 0.5);  // the same weights
}

TEST(Vit, RefusesConfigurationsThatDoNotFit) {
  nn::Init init(1);
  VisionTransformerConfig config = tiny();
  config.patch_size = 7;  // wider than the picture
  EXPECT_THROW(VisionTransformer(config, init), Error);
  config.patch_size = 0;
  EXPECT_THROW(VisionTransformer(config, init), Error);
  config = tiny();
  config.transformer.heads = 3;
  EXPECT_THROW(VisionTransformer(config, init), Error);
}

TEST(Vit, RefusesImagesThatDoNotFit) {
  const VisionTransformer model = make(tiny());
  for (const Shape& shape :
       {Shape{1, 6, 8, 3}, Shape{1, 8, 6, 3}, Shape{6, 6, 3}, Shape{1, 6, 6, 1}, Shape{1, 3, 6, 6}})
    EXPECT_THROW(features(model, zeros(shape, DType::f64)), Error) << to_string(shape);
}

// A picture's MAP head is attention of one learned query over its normed tokens, then y += MLP(LN y).
TEST(Vit, MapHeadIsAttentionOfALearnedQuery) {
  VisionTransformerConfig config = tiny();
  config.class_token = config.pre_norm = false;
  config.patch_bias = config.map_head = true;
  const VisionTransformer model = make(config);
  EXPECT_TRUE(model.projects());
  const Tensor images = testing::random_images(2, 6);
  const MapHead& head = *model.head;
  const Tensor tokens = model.post_layernorm(model.hidden(images, nn::Ctx{}), nn::Ctx{}).value();
  const auto rows = [&](std::int64_t part, const Var& x) {
    return ops::linear(x, ops::slice(head.attention.qkv_weight(), 0, 8 * part, 8 * part + 8),
                       ops::slice(head.attention.qkv_bias(), 0, 8 * part, 8 * part + 8));
  };
  const Tensor q = rows(0, ops::reshape(head.probe(), {1, 8})).value(), k = rows(1, tokens).value(),
               v = rows(2, tokens).value();
  for (std::int64_t n = 0; n < 2; ++n) {
    Tensor seen({1, 8}, DType::f64);
    for (std::int64_t h = 0; h < 2; ++h) {
      std::vector<double> weights;
      double total = 0;
      for (std::int64_t t = 9 * n; t < 9 * n + 9; ++t) {
        double score = 0;
        for (std::int64_t i = 4 * h; i < 4 * h + 4; ++i) score += q.at(i) * k.at(8 * t + i) / 2;
        weights.push_back(std::exp(score));
        total += weights.back();
      }
      for (std::int64_t i = 4 * h; i < 4 * h + 4; ++i) {
        double sum = 0;
        for (std::int64_t t = 0; t < 9; ++t)
          sum += weights[static_cast<std::size_t>(t)] / total * v.at(8 * (9 * n + t) + i);
        seen.mutable_data<double>()[i] = sum;
      }
    }
    const Var y = head.attention.out_proj(Var(seen), nn::Ctx{});
    const Var expected = ops::add(y, head.mlp(head.layernorm(y, nn::Ctx{}), nn::Ctx{}));
    EXPECT_LT(max_abs_difference(features(model, images).rows(n, n + 1), expected.value()), 1e-12);
  }
}

nn::Ctx training_with(const std::vector<std::int64_t>& samples, std::uint64_t step) {
  nn::Ctx ctx{.training = true, .rng = RngKey{step}};
  ctx.sample_ids = from_values<std::int64_t>({std::ssize(samples)}, samples);
  return ctx;
}

TEST(Vit, PatchDropoutKeepsTheClassTokenAndAShareOfThePatches) {
  VisionTransformerConfig config = tiny();
  config.image_size = 20;  // 100 patches
  config.patch_dropout = 0.75;
  const Tensor rows = kept_tokens(config, 3, training_with({5, 6, 7}, 1));
  ASSERT_EQ(rows.numel(), 3 * 26);
  const auto* row = rows.data<std::int64_t>();
  std::vector<int> counts(101);
  for (std::int64_t n = 0; n < 3; ++n) {
    EXPECT_EQ(row[26 * n], 101 * n) << "the class token";
    for (std::int64_t j = 0; j < 26; ++j) {
      const std::int64_t token = row[26 * n + j] - 101 * n;
      ASSERT_TRUE(token >= 0 && token <= 100);
      EXPECT_EQ(++counts[static_cast<std::size_t>(token)] > 3, false);
      if (j > 0) {
        EXPECT_GT(row[26 * n + j], row[26 * n + j - 1]);
      }
    }
  }
  config.class_token = false;
  config.image_size = 2;
  config.patch_dropout = 0.99;
  EXPECT_EQ(kept_tokens(config, 4, nn::Ctx{}).numel(), 4) << "one patch is always kept";
}

// Every patch is kept about as often as any other, whatever the sample.
TEST(Vit, PatchDropoutIsFair) {
  VisionTransformerConfig config = tiny();
  config.patch_dropout = 0.5;  // 4 of 9 patches
  std::vector<int> counts(10);
  constexpr std::int64_t pictures = 3000;
  const Tensor rows = kept_tokens(config, pictures, nn::Ctx{.rng = RngKey{3}});
  for (std::int64_t i = 0; i < rows.numel(); ++i) ++counts[static_cast<std::size_t>(rows.data<std::int64_t>()[i] % 10)];
  EXPECT_EQ(counts[0], pictures);
  for (std::size_t i = 1; i < 10; ++i) EXPECT_NEAR(counts[i], pictures * 4 / 9, 5 * std::sqrt(pictures * 0.25)) << i;
}

TEST(Vit, PatchDropoutDependsOnStepAndSampleAndNotOnTheBatch) {
  for (const bool map_head : {false, true}) {
    VisionTransformerConfig config = tiny();
    config.class_token = !map_head;
    config.map_head = map_head;
    config.patch_dropout = 0.5;
    const VisionTransformer model = make(config);
    const Tensor images = testing::random_images(3, 6);
    const auto run = [&](const Tensor& x, const std::vector<std::int64_t>& ids, std::uint64_t step) {
      return model(x, training_with(ids, step)).value();
    };
    const Tensor all = run(images, {4, 8, 2}, 1);
    EXPECT_EQ(count_different_bits(all, run(images, {4, 8, 2}, 1)), 0);
    EXPECT_LT(max_abs_difference(all.rows(1, 3), run(images.rows(1, 3), {8, 2}, 1)), 1e-12);
    EXPECT_GT(max_abs_difference(all, run(images, {4, 8, 2}, 2)), 1e-3);
    EXPECT_GT(max_abs_difference(all, run(images, {14, 18, 12}, 1)), 1e-3);
    config.patch_dropout = 0;
    const VisionTransformer whole = make(config);
    EXPECT_EQ(count_different_bits(features(model, images), features(whole, images)), 0) << "not in evaluation";
  }
}

TEST(Vit, OptionsThatDoNotFitAreRefused) {
  nn::Init init(1);
  VisionTransformerConfig config = tiny();
  config.map_head = true;
  EXPECT_THROW(VisionTransformer(config, init), Error);
  config = tiny();
  config.patch_dropout = 1;
  EXPECT_THROW(VisionTransformer(config, init), Error);
}

}  // namespace
}  // namespace fovea::models
