#include "fovea/models/modified_resnet.h"

#include <gtest/gtest.h>

#include "model_check.h"

namespace fovea::models {
namespace {

const ModifiedResNetConfig tiny{64, 2, {1, 2, 1, 1}, 5};

ModifiedResNet make(const ModifiedResNetConfig& config = tiny) {
  nn::Init init(1, DType::f64);
  ModifiedResNet model(config, init);
  testing::perturb(nn::collect(model));
  return model;
}

// model.state_dict() of open_clip's ModifiedResNet without num_batches_tracked.
TEST(ModifiedResNet, NamesAreThoseOfTheOriginalRepository) {
  const auto norm = [](const std::string& name) {
    return std::vector<std::string>{name + ".weight", name + ".bias", name + ".running_mean", name + ".running_var"};
  };
  std::vector<std::string> expected;
  const auto conv_norm = [&](const std::string& conv, const std::string& batch_norm) {
    expected.push_back(conv + ".weight");
    for (const std::string& name : norm(batch_norm)) expected.push_back(name);
  };
  conv_norm("conv1", "bn1"), conv_norm("conv2", "bn2"), conv_norm("conv3", "bn3");
  for (const std::string block : {"layer1.0.", "layer2.0.", "layer2.1.", "layer3.0.", "layer4.0."}) {
    for (const std::string i : {"1", "2", "3"}) conv_norm(block + "conv" + i, block + "bn" + i);
    if (block != "layer2.1.") conv_norm(block + "downsample.0", block + "downsample.1");
  }
  expected.push_back("attnpool.positional_embedding");
  for (const std::string projection : {"k_proj", "q_proj", "v_proj", "c_proj"}) {
    expected.push_back("attnpool." + projection + ".weight");
    expected.push_back("attnpool." + projection + ".bias");
  }
  const ModifiedResNet model = make();
  EXPECT_EQ(testing::paths_of(nn::collect(model)), expected);
}

TEST(ModifiedResNet, EvaluationDoesNotDependOnTheBatch) {
  const ModifiedResNet model = make();
  const Tensor images = testing::random_images(3, 64);
  const Tensor all = model(images, nn::Ctx{}).value();
  ASSERT_EQ(all.shape(), (Shape{3, 5}));
  for (std::int64_t i = 0; i < 3; ++i) {
    const Tensor alone = model(images.rows(i, i + 1), nn::Ctx{}).value();
    EXPECT_LT(max_abs_difference(all.rows(i, i + 1), alone), 1e-11);
  }
  const Tensor trained = model(images, nn::Ctx{.training = true}).value();
  EXPECT_GT(max_abs_difference(trained, all), 1e-3);
}

// Queries that ignore their input weigh all tokens alike, so the pool is affine in the mean token.
TEST(ModifiedResNet, AttentionPoolWithoutQueriesIsAMean) {
  constexpr std::int64_t grid = 2, channels = 6, tokens = 5;
  nn::Init init(3, DType::f64);
  AttentionPool pool(grid, channels, 2, 4, init);
  pool.q_proj.weight.value().fill(0);
  pool.q_proj.bias->value().fill(0);
  const Tensor x = testing::normal_inputs({{1, grid, grid, channels}})[0];
  std::vector<double> mean(channels);
  for (std::int64_t c = 0; c < channels; ++c) {
    double cells = 0, positions = 0;
    for (std::int64_t i = 0; i < 4; ++i) cells += x.at(i * channels + c);
    for (std::int64_t i = 0; i < tokens; ++i) positions += pool.positional_embedding.value().at(i * channels + c);
    mean[static_cast<std::size_t>(c)] = (cells + cells / 4 + positions) / tokens;  // the cells and their mean
  }
  const Var expected = pool.c_proj(pool.v_proj(from_values<double>({1, channels}, mean), nn::Ctx{}), nn::Ctx{});
  EXPECT_LT(max_abs_difference(pool(x, nn::Ctx{}).value(), expected.value()), 1e-13);
}

// One cell, so that the two tokens, the cell and its mean, differ by their positions alone: the query is the first.
TEST(ModifiedResNet, AttentionPoolAsksWithTheMeanToken) {
  nn::Init init(3, DType::f64);
  AttentionPool pool(1, 1, 1, 1, init);
  for (nn::Linear* p : {&pool.q_proj, &pool.k_proj, &pool.v_proj, &pool.c_proj}) {
    p->weight.value().fill(1);
    p->bias->value().fill(0);
  }
  pool.positional_embedding.value() = from_values<double>({2, 1}, {0.5, -2});
  const double first = 3.5, second = 1.0;  // 3 + position
  const double w = 1 / (1 + std::exp(first * second - first * first));
  EXPECT_NEAR(pool(full({1, 1, 1, 1}, 3, DType::f64), nn::Ctx{}).item(), w * first + (1 - w) * second, 1e-14);
}

TEST(ModifiedResNet, BlocksStartAsTheirShortcut) {
  nn::Init init(1, DType::f64);
  const Bottleneck block(8, 2, 1, init);  // 8 = 4 * 2: no projection
  EXPECT_FALSE(block.downsample.has_value());
  const Tensor x = testing::normal_inputs({{2, 3, 3, 8}})[0];
  const Tensor y = block(x, nn::Ctx{.training = true}).value();
  for (std::int64_t i = 0; i < x.numel(); ++i) EXPECT_DOUBLE_EQ(y.at(i), std::fmax(x.at(i), 0));
}

TEST(ModifiedResNet, RefusesWhatDoesNotFit) {
  nn::Init init(1);
  EXPECT_THROW(ModifiedResNet({60, 2, {1, 1, 1, 1}, 5}, init), Error);
  EXPECT_THROW(ModifiedResNet({64, 3, {1, 1, 1, 1}, 5}, init), Error);
  const ModifiedResNet model = make();
  for (const Shape& shape : {Shape{1, 32, 32, 3}, Shape{1, 64, 64, 4}, Shape{64, 64, 3}})
    EXPECT_THROW(model(zeros(shape, DType::f64), nn::Ctx{}), Error) << to_string(shape);
}

}  // namespace
}  // namespace fovea::models
