// Towers that are made for pictures of another size.
#include "fovea/models/image_tower.h"

#include <gtest/gtest.h>

#include "fovea/ops/resample.h"
#include "fovea/ops/shape.h"
#include "model_check.h"

namespace fovea::models {
namespace {

VisionTransformerConfig tiny_vit(bool class_token) {
  VisionTransformerConfig config;
  config.image_size = 8, config.patch_size = 2, config.class_token = class_token;
  config.transformer = {8, 1, 2, 12, Activation::gelu, ops::AttentionKind::full, 1e-5};
  return config;
}

TEST(ImageTower, ResizingResamplesTheGridOfPositionsAndKeepsTheRest) {
  for (const bool class_token : {true, false}) {
    nn::Init init(1, DType::f64);
    ImageTower tower(tiny_vit(class_token), init);
    const Tensor before = std::get<VisionTransformer>(tower.tower).position_embedding.value().clone();
    const ImageTower::Config config = tower.resize(12);
    EXPECT_EQ(ImageTower::image_size(config), 12);
    const std::int64_t first = class_token ? 1 : 0;
    const Tensor& after = std::get<VisionTransformer>(tower.tower).position_embedding.value();
    ASSERT_EQ(after.shape(), (Shape{first + 36, 8}));
    EXPECT_EQ(count_different_bits(after.rows(0, first), before.rows(0, first)), 0);
    const Tensor grid = before.rows(first, first + 16).reshape({4, 4, 8});
    const Tensor expected = ops::resample_bicubic(grid, 6, 6, true).value().reshape({36, 8});
    EXPECT_EQ(count_different_bits(after.rows(first, first + 36), expected), 0);
    EXPECT_EQ(tower(testing::random_images(2, 12), nn::Ctx{}).shape(), (Shape{2, 8}));
    EXPECT_THROW(tower.resize(1), Error);
    for (const nn::ParamEntry& entry : nn::collect(tower)) EXPECT_EQ(entry.leaf->node->shape, entry.leaf->value.shape());
  }
}

// torch.nn.functional.interpolate(torch.arange(4.).view(1, 1, 2, 2), size=(3, 3), mode="bicubic", antialias=True)
TEST(ImageTower, ResizedPositionsAreThoseOfOpenClip) {
  nn::Init init(1, DType::f64);
  VisionTransformerConfig config = tiny_vit(false);
  config.image_size = 4;
  config.transformer.width = 2;
  config.transformer.heads = 1;
  ImageTower tower(config, init);
  Tensor& table = std::get<VisionTransformer>(tower.tower).position_embedding.value();
  for (std::int64_t i = 0; i < 8; ++i) table.mutable_data<double>()[i] = static_cast<double>(i / 2);
  tower.resize(6);
  const Tensor& resized = std::get<VisionTransformer>(tower.tower).position_embedding.value();
  const double expected[] = {-0.197368421, 0.368421053, 0.934210526, 0.934210526, 1.500000000,
                             2.065789474,  2.065789474, 2.631578947, 3.197368421};
  for (std::int64_t i = 0; i < 9; ++i) EXPECT_NEAR(resized.at(2 * i), expected[i], 1e-6) << i;
}

TEST(ImageTower, EveryTowerTakesAnotherSize) {
  nn::Init init(1, DType::f64);
  EfficientNetConfig efficientnet;
  efficientnet.in = {32}, efficientnet.out = {8}, efficientnet.kernels = {3}, efficientnet.strides = {1};
  efficientnet.repeats = {1}, efficientnet.expand = {1}, efficientnet.image_size = 32;
  for (const ImageTower::Config& config :
       {ImageTower::Config(ModifiedResNetConfig{32, 2, {1, 1, 1, 1}, 4}),
        ImageTower::Config(ResNetConfig{32, 3, {4, 6}, {1, 1}}), ImageTower::Config(efficientnet)}) {
    ImageTower tower(config, init);
    EXPECT_EQ(ImageTower::image_size(tower.resize(64)), 64);
    EXPECT_EQ(tower(testing::random_images(1, 64), nn::Ctx{}).dim(0), 1);
  }
  ImageTower tower(ModifiedResNetConfig{32, 2, {1, 1, 1, 1}, 4}, init);
  EXPECT_THROW(tower.resize(40), Error);
}

}  // namespace
}  // namespace fovea::models
