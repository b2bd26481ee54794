#include "fovea/ops/linear_cross_entropy.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "../support/error_of.h"
#include "fovea/autograd/backward.h"
#include "fovea/core/allocator.h"
#include "fovea/ops/elementwise.h"
#include "fovea/ops/linear.h"
#include "fovea/tensor/factory.h"
#include "fovea/testing/gradcheck.h"

namespace fovea::ops {
namespace {

Tensor targets_of(const std::vector<std::int64_t>& values) {
  return from_values<std::int64_t>({static_cast<std::int64_t>(values.size())}, values);
}

Var unfused(const Var& x, const Var& weight, const Var& bias, const Tensor& targets, const CrossEntropyOptions& o) {
  return cross_entropy(linear(x, weight, bias), targets, o);
}

// The loss and the gradients of `rows` tokens of width 5 over `words` words, of both forms.
void expect_same_as_unfused(std::int64_t rows, std::int64_t words, const Tensor& targets,
                            const CrossEntropyOptions& options, DType type, bool with_bias = true) {
  const auto in = testing::normal_inputs({{rows, 5}, {words, 5}, {words}});
  const auto results = [&](auto&& loss_of) {
    const Var x(in[0].to(type).clone(), true), weight(in[1].to(type).clone(), true);
    const Var bias = with_bias ? Var(in[2].to(type).clone(), true) : Var();
    const Var loss = loss_of(x, weight, bias, targets, options);
    backward(mul(loss, 1.5));
    std::vector<Tensor> out{loss.value(), x.grad(), weight.grad()};
    if (with_bias) out.push_back(bias.grad());
    return out;
  };
  const auto fused = results(linear_cross_entropy), expected = results(unfused);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_LE(testing::relative_error(fused[i], expected[i], 1e-3), type == DType::f64 ? 1e-12 : 1e-5) << i;
  }
}

TEST(LinearCrossEntropy, IsLinearThenCrossEntropy) {
  const Tensor targets = targets_of({3, 0, 6, -100, 2, -100, 6});
  for (const DType type : {DType::f64, DType::f32}) {
    for (const double smoothing : {0.0, 0.1}) {
      for (const Reduction reduction : {Reduction::mean, Reduction::sum}) {
        CrossEntropyOptions options;
        options.label_smoothing = smoothing;
        options.reduction = reduction;
        expect_same_as_unfused(7, 7, targets, options, type);
        expect_same_as_unfused(7, 7, targets, options, type, false);
        options.row_weights = from_values<double>({7}, {0.5, 2, 0, 1, 1, 3, 1});
        expect_same_as_unfused(7, 7, targets, options, type);
      }
    }
  }
}

// So many words that 41 rows of logits are computed at a time, some of which are ignored.
TEST(LinearCrossEntropy, ChunksAddUp) {
  const std::int64_t rows = 90, words = 300'000;
  std::vector<std::int64_t> targets;
  for (std::int64_t r = 0; r < rows; ++r) targets.push_back(r == 50 ? -100 : words - 1 - r * 3000);
  expect_same_as_unfused(rows, words, targets_of(targets), {.label_smoothing = 0.1}, DType::f32);
}

TEST(LinearCrossEntropy, Gradients) {
  const auto result = testing::check_op(
      [](std::span<const Var> in) {
        return linear_cross_entropy(in[0], in[1], in[2], targets_of({1, -100, 4, 0}), {.label_smoothing = 0.1});
      },
      testing::normal_inputs({{4, 3}, {5, 3}, {5}}));
  EXPECT_TRUE(result) << result.message;
}

TEST(LinearCrossEntropy, NothingToLearnGivesZero) {
  for (const Tensor& targets : {targets_of({-100, -100}), targets_of({})}) {
    const Var x(full({targets.numel(), 3}, 1), true), weight(full({4, 3}, 1), true), bias(full({4}, 1), true);
    const Var loss = linear_cross_entropy(x, weight, bias, targets);
    EXPECT_EQ(loss.item(), 0);
    backward(loss);
    EXPECT_EQ(testing::relative_error(weight.grad(), zeros({4, 3}), 1), 0);
    EXPECT_EQ(testing::relative_error(bias.grad(), zeros({4}), 1), 0);
    EXPECT_EQ(testing::relative_error(x.grad(), zeros(x.shape()), 1), 0);
  }
}

// A weight that is an embedding as well collects both gradients.
TEST(LinearCrossEntropy, AddsToGradientsThatExist) {
  const auto in = testing::normal_inputs({{3, 4}, {6, 4}});
  const Tensor targets = targets_of({1, 5, 2});
  const auto gradient = [&](int times) {
    const Var x(in[0]), weight(in[1].clone(), true);
    for (int i = 0; i < times; ++i) backward(linear_cross_entropy(x, weight, {}, targets));
    return weight.grad();
  };
  Tensor twice = gradient(1).clone();
  for (std::int64_t i = 0; i < twice.numel(); ++i) twice.mutable_data<double>()[i] *= 2;
  EXPECT_LE(testing::relative_error(gradient(2), twice, 1e-6), 1e-14);
}

// 120 MB of logits for what is 3 MB otherwise; nothing is kept for a weight that learns nothing.
TEST(LinearCrossEntropy, MemoryStaysBelowTheLogits) {
  const std::int64_t rows = 300, words = 100'000, width = 8;
  const Var x(random_normal({rows, width}, RngKey{1}), true), weight(random_normal({words, width}, RngKey{2}), true);
  allocator::reset_peak();
  const std::int64_t before = allocator::stats().live_bytes;
  const Var loss = linear_cross_entropy(x, weight, {}, zeros({rows}, DType::i64));
  EXPECT_LE(allocator::stats().peak_bytes - before, 70 << 20);
  EXPECT_LE(allocator::stats().live_bytes - before, 6 << 20);
  const std::int64_t with_gradients = allocator::stats().live_bytes;
  const Var constant = linear_cross_entropy(x.detach(), weight.detach(), {}, zeros({rows}, DType::i64));
  EXPECT_LE(allocator::stats().live_bytes - with_gradients, 4096);
  EXPECT_EQ(constant.item(), loss.item());
}

TEST(LinearCrossEntropy, RefusesWhatDoesNotFit) {
  const auto error = [](const Shape& x, const Shape& weight, const CrossEntropyOptions& options = {}) {
    return tests::error_of(
        [&] { linear_cross_entropy(zeros(x), zeros(weight), {}, zeros({x[0]}, DType::i64), options); });
  };
  EXPECT_EQ(error({3, 4}, {5, 6}), "[linear_cross_entropy] input is (3, 4), weight (5, 6), expected (T, D) and (V, D)");
  EXPECT_NE(error({3, 4}, {5, 4}, {.reduction = Reduction::none}).find("no gradient before its own is known"),
            std::string::npos);
  EXPECT_NE(error({3, 4}, {0, 4}).find("at least one class"), std::string::npos);
  EXPECT_NE(tests::error_of([] {
              linear_cross_entropy(zeros({1, 4}), zeros({5, 4}), {}, targets_of({5}));
            }).find("target of row 0 is 5"),
            std::string::npos);
}

}  // namespace
}  // namespace fovea::ops
