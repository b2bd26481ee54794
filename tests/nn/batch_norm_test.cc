#include "fovea/nn/batch_norm.h"

#include <gtest/gtest.h>

#include "fovea/tensor/reduce.h"
#include "module_check.h"

namespace fovea::nn {
namespace {

TEST(BatchNorm, GradientsInTrainingAndEvaluation) {
  for (const bool training : {true, false}) {
    Init init(1, DType::f64);
    BatchNorm norm(3, init, 1, 0.1);
    norm.running_mean.value() = testing::normal_inputs({{3}})[0];
    norm.running_var.value().fill(0.7);
    const Ctx ctx{training, {}};
    const auto inputs = testing::normal_inputs({{2, 2, 3, 3}, {2, 2, 3, 3}});
    const auto plain =
        testing::check_module(norm, inputs, [&](std::span<const Var> in) { return norm(in[0], ctx); }, {.step = 1e-4});
    EXPECT_TRUE(plain) << training << ": " << plain.message;
    const auto fused = testing::check_module(
        norm, inputs, [&](std::span<const Var> in) { return norm.relu(in[0], ctx, in[1]); }, {.step = 1e-4});
    EXPECT_TRUE(fused) << training << " with relu: " << fused.message;
  }
}

// PyTorch: running = (1 - momentum) running + momentum batch, with the unbiased variance of the batch.
TEST(BatchNorm, TrainingMovesTheRunningStatisticsAndEvaluationDoesNot) {
  Init init(1, DType::f64);
  const BatchNorm norm(1, init, 1, 1e-5, 0.1);
  const Tensor x = from_values<double>({4, 1}, {1, 2, 3, 6});  // mean 3, variance 3.5, unbiased 14/3
  norm(x, Ctx{.training = true});
  EXPECT_NEAR(norm.running_mean.value().item(), 0.3, 1e-14);
  EXPECT_NEAR(norm.running_var.value().item(), 0.9 + 0.1 * 14 / 3, 1e-14);
  const Var y = norm(x, Ctx{});
  EXPECT_NEAR(norm.running_mean.value().item(), 0.3, 1e-14);
  EXPECT_NEAR(y.value().at(0), 0.7 / std::sqrt(0.9 + 1.4 / 3 + 1e-5), 1e-14);
}

TEST(BatchNorm, VirtualBatchesHaveStatisticsOfTheirOwn) {
  Init init(1, DType::f64);
  const BatchNorm norm(2, init), alone(2, init);
  const Tensor x = testing::normal_inputs({{6, 3, 2}})[0];
  Ctx ctx{.training = true};
  ctx.virtual_batch = 2;
  const Tensor y = norm(x, ctx, Activation::silu).value();
  for (std::int64_t i = 0; i < 6; i += 2) {
    const Tensor part = alone(x.rows(i, i + 2), Ctx{.training = true}, Activation::silu).value();
    EXPECT_EQ(count_different_bits(part, y.rows(i, i + 2)), 0) << i;
  }
  ctx.virtual_batch = 4;
  EXPECT_THROW(norm(x, ctx), Error);
  ctx.training = false;
  EXPECT_NO_THROW(norm(x, ctx));
}

TEST(BatchNorm, FrozenStatisticsAreUsedInTrainingAndStay) {
  Init init(1, DType::f64);
  const BatchNorm norm(2, init);
  norm.running_mean.value().fill(0.3);
  const Tensor x = testing::normal_inputs({{6, 2}})[0];
  Ctx ctx{.training = true};
  ctx.frozen_statistics = true;
  const Var y = norm(x, ctx);
  EXPECT_EQ(count_different_bits(y.value(), norm(x, Ctx{}).value()), 0);
  EXPECT_EQ(norm.running_mean.value().at(0), 0.3);
  EXPECT_TRUE(y.requires_grad());  // gain and bias are trained
}

TEST(BatchNorm, StatisticsAreSavedAndNotTrained) {
  Init init(1);
  const BatchNorm norm(3, init);
  const auto entries = collect(norm);
  ASSERT_EQ(entries.size(), 4u);
  EXPECT_EQ(entries[2].path, "running_mean");
  EXPECT_EQ(entries[3].path, "running_var");
  EXPECT_TRUE(entries[2].leaf->is_buffer() && entries[3].leaf->is_buffer());
  EXPECT_EQ(count_parameters(entries), 6);
}

}  // namespace
}  // namespace fovea::nn
