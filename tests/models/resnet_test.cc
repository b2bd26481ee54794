#include "fovea/models/resnet.h"

#include <gtest/gtest.h>

#include "fovea/autograd/backward.h"
#include "fovea/ops/shape.h"
#include "fovea/testing/golden.h"
#include "model_check.h"

namespace fovea::models {
namespace {

const ResNetConfig tiny{16, 3, {4, 6}, {1, 2}};

ResNet make() {
  nn::Init init(1, DType::f64);
  ResNet model(tiny, init);
  testing::perturb(nn::collect(model));
  return model;
}

TEST(ResNet, NamesAreThoseOfHuggingFace) {
  std::vector<std::string> expected;
  for (const std::string unit :
       {"embedder.embedder", "encoder.stages.0.layers.0.layer.0", "encoder.stages.0.layers.0.layer.1",
        "encoder.stages.1.layers.0.shortcut", "encoder.stages.1.layers.0.layer.0", "encoder.stages.1.layers.0.layer.1",
        "encoder.stages.1.layers.1.layer.0", "encoder.stages.1.layers.1.layer.1"}) {
    expected.push_back(unit + ".convolution.weight");
    for (const std::string name : {"weight", "bias", "running_mean", "running_var"})
      expected.push_back(unit + ".normalization." + name);
  }
  const ResNet model = make();
  EXPECT_EQ(testing::paths_of(nn::collect(model)), expected);
}

TEST(ResNet, EvaluationDoesNotDependOnTheBatch) {
  const ResNet model = make();
  const Tensor images = testing::random_images(3, 16);
  const Tensor all = model(images, nn::Ctx{}).value();
  ASSERT_EQ(all.shape(), (Shape{3, 6}));
  for (std::int64_t i = 0; i < 3; ++i)
    EXPECT_LT(max_abs_difference(all.rows(i, i + 1), model(images.rows(i, i + 1), nn::Ctx{}).value()), 1e-12);
  EXPECT_GT(max_abs_difference(model(images, nn::Ctx{.training = true}).value(), all), 1e-3);
}

TEST(ResNet, BlocksProjectTheirShortcutWhereShapesChange) {
  nn::Init init(1, DType::f64);
  EXPECT_FALSE(BasicBlock(4, 4, 1, init).shortcut.has_value());
  EXPECT_TRUE(BasicBlock(4, 6, 1, init).shortcut.has_value());
  const BasicBlock strided(4, 4, 2, init);
  EXPECT_TRUE(strided.shortcut.has_value());
  EXPECT_EQ(strided(zeros({1, 7, 8, 4}, DType::f64), nn::Ctx{}).shape(), (Shape{1, 4, 4, 4}));
}

// Zero filters in the residual branch leave relu(x) of an eval-mode block.
TEST(ResNet, BlocksAddTheirInput) {
  nn::Init init(1, DType::f64);
  BasicBlock block(4, 4, 1, init);
  block.second.convolution.weight.value().fill(0);
  const Tensor x = testing::normal_inputs({{1, 3, 3, 4}})[0];
  const Tensor y = block(x, nn::Ctx{}).value();
  for (std::int64_t i = 0; i < x.numel(); ++i) EXPECT_DOUBLE_EQ(y.at(i), std::fmax(x.at(i), 0));
}

// Hugging Face's ResNetModel in f64: files made by tests/golden/golden_dump.py from resnet_case.py.
void expect_parity(const std::string& name, bool training, DType dtype) {
  const testing::Golden golden(FOVEA_SOURCE_DIR "/tests/golden/" + name + ".safetensors");
  nn::Init init = nn::Init::none(dtype);
  const ResNet model({20, 7, {4, 8}, {1, 2}}, init);
  const auto entries = nn::collect(model);
  golden.load_parameters(entries);
  const Var pixels(golden["input.pixel_values"].to(dtype), true);
  nn::Ctx ctx;
  ctx.training = training;
  const Var features = model(ops::transpose(pixels, {0, 2, 3, 1}), ctx);
  const Shape shape = features.shape();
  backward(features, golden["cotangent.pooler_output"].to(dtype).reshape(shape));
  const double tolerance = dtype == DType::f64 ? 1e-9 : 1e-4;
  EXPECT_LE(testing::relative_error(features.value(), golden["out.pooler_output"].reshape(shape), 1e-6), tolerance);
  const auto gradients =
      testing::compare_gradients(testing::gradients_of(entries), golden.with_prefix("grad."), tolerance);
  EXPECT_TRUE(gradients) << gradients.message;
  EXPECT_LE(testing::relative_error(pixels.grad(), golden["grad_input.pixel_values"], 1e-6), tolerance);
  if (!training) return;
  io::TensorMap statistics = golden.with_prefix("buffer_after.");
  std::erase_if(statistics, [](const auto& item) { return item.first.ends_with("num_batches_tracked"); });
  const auto buffers = testing::compare_tensors(testing::buffers_of(entries), statistics, tolerance);
  EXPECT_TRUE(buffers) << buffers.message;
}

TEST(ResNet, EqualsHuggingFaces) {
  for (const DType dtype : {DType::f64, DType::f32}) {
    expect_parity("resnet", false, dtype);
    expect_parity("resnet_training", true, dtype);
  }
}

TEST(ResNet, RefusesWhatDoesNotFit) {
  nn::Init init(1);
  EXPECT_THROW(ResNet({16, 3, {4, 6}, {1}}, init), Error);
  EXPECT_THROW(ResNet({16, 3, {}, {}}, init), Error);
  const ResNet model = make();
  EXPECT_THROW(model(zeros({1, 16, 16, 1}, DType::f64), nn::Ctx{}), Error);
  EXPECT_THROW(model(zeros({16, 16, 3}, DType::f64), nn::Ctx{}), Error);
}

}  // namespace
}  // namespace fovea::models
