// EfficientNet against Hugging Face's: files made by tests/golden/make_efficientnet_golden.py, in f64.
#include "fovea/models/efficientnet.h"

#include <gtest/gtest.h>

#include <sstream>

#include "../support/error_of.h"
#include "../support/formula_values.h"
#include "fovea/autograd/backward.h"
#include "fovea/nn/parameter_file.h"
#include "fovea/ops/elementwise.h"
#include "fovea/ops/reduce.h"
#include "fovea/ops/shape.h"
#include "fovea/testing/golden.h"
#include "model_check.h"

namespace fovea::models {
namespace {

using tests::error_of;

EfficientNetConfig tiny() {
  EfficientNetConfig c;
  c.kernels = {3, 5, 3}, c.in = {32, 8, 16}, c.out = {8, 16, 24}, c.strides = {1, 2, 2}, c.repeats = {1, 2, 1};
  c.expand = {1, 6, 4};
  c.momentum = 0.99, c.expand_momentum = 0.1;  // what transformers hands to PyTorch
  c.drop_connect = 0;
  return c;
}

EfficientNetConfig tiny_odd() {
  EfficientNetConfig c = tiny();
  c.square_padding = {1, 3}, c.activation = Activation::gelu, c.squeeze = 0.1, c.eps = 1e-2, c.momentum = 0.3;
  c.depth = 1.5;
  return c;
}

EfficientNetConfig scaled(double width, double depth) {
  EfficientNetConfig c;
  c.width = width, c.depth = depth, c.momentum = 0.99, c.expand_momentum = 0.1, c.drop_connect = 0;
  return c;
}

EfficientNet with_formula_values(const EfficientNetConfig& config, DType dtype, bool training) {
  nn::Init init = nn::Init::none(dtype);
  EfficientNet model(config, init);
  const auto tensors = nn::native_tensors(nn::collect(model));
  io::TensorMap file;
  for (const nn::FileTensor& tensor : tensors) file[tensor.name] = tests::formula_tensor(tensor.name, tensor.shape(), training);
  nn::load_parameters("formula", file, tensors);
  return model;
}

// Rows of PREFIX.samples, .sums and .max are those of `tensors` in order. The errors of a tensor are relative to its
// largest element, but not to less than `floor`.
void expect_digests(const testing::Golden& golden, const std::string& prefix,
                    const std::vector<std::pair<std::string, Tensor>>& tensors, double floor, double tolerance) {
  const Tensor &samples = golden[prefix + ".samples"], &sums = golden[prefix + ".sums"], &max = golden[prefix + ".max"];
  ASSERT_EQ(samples.dim(0), static_cast<std::int64_t>(tensors.size())) << prefix;
  const std::int64_t count = samples.dim(1);
  for (std::int64_t row = 0; row < samples.dim(0); ++row) {
    const auto& [name, tensor] = tensors[static_cast<std::size_t>(row)];
    const tests::Digest digest(name, tensor, count);
    const double scale = std::fmax(max.at(row), floor);
    for (std::int64_t i = 0; i < count; ++i) {
      EXPECT_NEAR(digest.samples[static_cast<std::size_t>(i)], samples.at(row * count + i), tolerance * scale) << name;
    }
    // A sum of n elements may be off by each one's error.
    const double slack = tolerance * scale * digest.spread;
    EXPECT_NEAR(digest.sum, sums.at(2 * row), slack * digest.spread) << name;
    EXPECT_NEAR(digest.weighted, sums.at(2 * row + 1), slack * 4) << name;
    EXPECT_NEAR(digest.magnitude, max.at(row), tolerance * scale) << name;
  }
}

std::vector<std::pair<std::string, Tensor>> sorted(const io::TensorMap& tensors) {
  return {tensors.begin(), tensors.end()};
}

void expect_parity(const std::string& name, const EfficientNetConfig& config, DType dtype, const std::string& where) {
  SCOPED_TRACE(name + " " + where);
  const testing::Golden golden(FOVEA_SOURCE_DIR "/tests/golden/efficientnet_" + name + ".safetensors");
  const EfficientNet model = with_formula_values(config, dtype, name.ends_with("training"));
  const auto entries = nn::collect(model);
  const Tensor pictures =
      tests::formula_pictures(std::stoll(golden.metadata("pictures")), std::stoll(golden.metadata("side")));
  nn::Ctx ctx;
  ctx.training = name.ends_with("training");
  const Var grid = model.hidden(ops::transpose(Var(pictures.to(dtype)), {0, 2, 3, 1}), ctx);
  const Var pooled = ops::global_avg_pool2d(grid);
  Tensor cotangent(pooled.shape(), DType::f64);
  for (std::int64_t i = 0; i < cotangent.numel(); ++i)
    cotangent.mutable_data<double>()[i] = 2 * tests::formula_number("cotangent", i) - 1;
  backward(pooled, cotangent.to(dtype));
  const double tolerance = dtype == DType::f64 ? 1e-9 : 1e-4;
  const Tensor last = ops::transpose(Var(grid.value()), {0, 3, 1, 2}).value();
  expect_digests(golden, "out.last_hidden_state", {{"last_hidden_state", last}}, 1e-6, tolerance);
  expect_digests(golden, "out.pooler_output", {{"pooler_output", pooled.value()}}, 1e-6, tolerance);
  double largest = 0;
  const Tensor& max = golden["grad.max"];
  for (std::int64_t i = 0; i < max.numel(); ++i) largest = std::fmax(largest, max.at(i));
  expect_digests(golden, "grad", sorted(testing::gradients_of(entries)), 1e-3 * largest, tolerance);
  if (ctx.training) expect_digests(golden, "buffer", sorted(testing::buffers_of(entries)), 1e-6, tolerance);
}

TEST(EfficientNet, EqualsHuggingFaces) {
  for (const std::string mode : {"", "_training"}) {
    expect_parity("tiny" + mode, tiny(), DType::f64, "f64");
    expect_parity("b0" + mode, scaled(1, 1), DType::f32, "f32");
    expect_parity("b3" + mode, scaled(1.2, 1.4), DType::f32, "f32");
    testing::for_each_isa([&](const std::string& isa) { expect_parity("tiny" + mode, tiny(), DType::f32, isa); });
  }
  expect_parity("tiny_odd_training", tiny_odd(), DType::f64, "f64");
  testing::for_each_isa(
      [](const std::string& isa) { expect_parity("tiny_odd_training", tiny_odd(), DType::f32, isa); });
}

TEST(SlowEfficientNet, PublishedSizesEqualHuggingFacesInDoublePrecision) {
  for (const std::string mode : {"", "_training"}) {
    expect_parity("b0" + mode, scaled(1, 1), DType::f64, "f64");
    expect_parity("b3" + mode, scaled(1.2, 1.4), DType::f64, "f64");
  }
}

TEST(EfficientNet, NamesAreThoseOfHuggingFace) {
  const testing::Golden golden(FOVEA_SOURCE_DIR "/tests/golden/efficientnet_tiny.safetensors");
  nn::Init init = nn::Init::none();
  const EfficientNet model(tiny(), init);
  std::vector<std::string> parameters, expected;
  for (const nn::ParamEntry& entry : nn::collect(model)) {
    if (!entry.leaf->is_buffer()) parameters.push_back(entry.path);
  }
  std::sort(parameters.begin(), parameters.end());
  std::istringstream names(golden.metadata("names"));
  for (std::string name; std::getline(names, name);) expected.push_back(name);
  EXPECT_EQ(parameters, expected);
}

struct Published {
  double width, depth;
  std::int64_t blocks, features, parameters;  // of keras.applications' EfficientNetB0 ... B7 without its classifier
};

TEST(EfficientNet, HasThePublishedSizes) {
  for (const Published& p : {Published{1.0, 1.0, 16, 1280, 4007548}, Published{1.0, 1.1, 23, 1280, 6513184},
                             Published{1.1, 1.2, 23, 1408, 7700994}, Published{1.2, 1.4, 26, 1536, 10696232},
                             Published{1.4, 1.8, 32, 1792, 17548616}, Published{1.6, 2.2, 39, 2048, 28340784},
                             Published{1.8, 2.6, 45, 2304, 40735704}, Published{2.0, 3.1, 55, 2560, 63786960}}) {
    nn::Init init = nn::Init::none();
    const EfficientNet model(scaled(p.width, p.depth), init);
    EXPECT_EQ(static_cast<std::int64_t>(model.blocks.size()), p.blocks);
    EXPECT_EQ(model.features(), p.features);
    EXPECT_EQ(nn::count_parameters(nn::collect(model)), p.parameters) << p.width;
  }
}

// 0.39 billion multiply-adds at 224 pixels (Tan & Le 2019, table 2).
TEST(EfficientNet, HasThePublishedNumberOfOperations) {
  EXPECT_NEAR(EfficientNet::flops(scaled(1, 1)) / 2e9, 0.39, 0.01);
  EfficientNetConfig b7 = scaled(2, 3.1);
  b7.image_size = 600;
  EXPECT_NEAR(EfficientNet::flops(b7) / 2e9, 37, 1.5);
}

EfficientNetConfig with_drop(double p) {
  EfficientNetConfig c = tiny();
  c.drop_connect = p, c.top = false;
  c.expand = {1, 2, 2};
  return c;
}

TEST(EfficientNet, GradientsInTrainingWithDropConnect) {
  nn::Init init(1, DType::f64);
  const EfficientNet model(with_drop(0.6), init);
  testing::perturb(nn::collect(model));
  const Tensor images = testing::random_images(3, 9);
  nn::Ctx ctx;
  ctx.training = true, ctx.update_statistics = false, ctx.rng = RngKey{4};
  const auto loss = [&] { return ops::sum(ops::square(model(images, ctx))); };
  const auto result = testing::check_gradients(nn::collect(model), loss);
  EXPECT_TRUE(result) << result.message;
}

// Which samples drop-connect leaves out depends on their numbers, the step and the block alone.
TEST(EfficientNet, DropConnectDrawsBySample) {
  nn::Init init(1, DType::f64);
  const EfficientNet model(with_drop(0.9), init);
  nn::Ctx ctx;
  ctx.training = true, ctx.frozen_statistics = true, ctx.rng = RngKey{4};
  const Tensor images = testing::random_images(6, 9);
  const Tensor whole = model(images, ctx.with_samples(arange(6))).value();
  for (std::int64_t i = 0; i < 6; i += 2) {
    const Tensor ids = from_values<std::int64_t>({2}, std::vector<std::int64_t>{i, i + 1});
    const Tensor part = model(images.rows(i, i + 2), ctx.with_samples(ids)).value();
    EXPECT_EQ(count_different_bits(part, whole.rows(i, i + 2)), 0) << i;
  }
  EXPECT_EQ(count_different_bits(model(images, ctx).value(), whole), 0);  // ids are 0, 1, ... unless set
  ctx.rng = RngKey{5};
  EXPECT_GT(max_abs_difference(model(images, ctx).value(), whole), 1e-6);
  EXPECT_GT(max_abs_difference(model(images, nn::Ctx{}).value(), whole), 1e-6);
}

TEST(EfficientNet, RefusesWhatDoesNotFit) {
  nn::Init init(1);
  const auto error = [&](auto&& change) {
    EfficientNetConfig c = tiny();
    change(c);
    return error_of([&] { EfficientNet(c, init); });
  };
  EXPECT_NE(error([](auto& c) { c.in[1] = 16; }).find("stage 1 takes 16 channels, the stage before gives 8"),
            std::string::npos);
  EXPECT_NE(error([](auto& c) { c.in[0] = 24; }).find("the stem gives 32"), std::string::npos);
  EXPECT_NE(error([](auto& c) { c.repeats.pop_back(); }).find("have 3 and 2 entries"), std::string::npos);
  EXPECT_NE(error([](auto& c) { c.kernels[0] = 4; }).find("a kernel of 4, expected odd numbers"), std::string::npos);
  const EfficientNet model(tiny(), init);
  EXPECT_THROW(model(zeros({1, 16, 16, 1}), nn::Ctx{}), Error);
}

}  // namespace
}  // namespace fovea::models
