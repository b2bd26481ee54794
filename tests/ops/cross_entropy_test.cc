#include "fovea/ops/cross_entropy.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "../support/error_of.h"
#include "fovea/autograd/backward.h"
#include "fovea/core/parallel.h"
#include "fovea/ops/softmax.h"
#include "fovea/tensor/factory.h"
#include "fovea/tensor/reduce.h"
#include "fovea/testing/gradcheck.h"

namespace fovea {
namespace {

using ops::CrossEntropyOptions;
using ops::Reduction;

// 2 sin(0.7 (i + 1)), which the PyTorch numbers below were made from.
Tensor waves(Shape shape, double frequency = 0.7) {
  Tensor x(shape, DType::f64);
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    x.mutable_data<double>()[i] = 2 * std::sin(frequency * static_cast<double>(i + 1));
  }
  return x;
}

void check(const Shape& shape, const Tensor& targets, const CrossEntropyOptions& options) {
  const auto result =
      testing::check_op([&](std::span<const Var> in) { return ops::cross_entropy(in[0], targets, options); },
                        testing::normal_inputs({shape}));
  EXPECT_TRUE(result.passed) << to_string(shape) << ": " << result.message;
}

void check_soft(const Shape& shape, const CrossEntropyOptions& options) {
  const auto result =
      testing::check_op([&](std::span<const Var> in) { return ops::cross_entropy_soft(in[0], in[1], options); },
                        testing::normal_inputs({shape, shape}));
  EXPECT_TRUE(result.passed) << to_string(shape) << ": " << result.message;
}

std::vector<CrossEntropyOptions> option_grid(std::int64_t rows) {
  std::vector<CrossEntropyOptions> grid;
  for (Reduction reduction : {Reduction::mean, Reduction::sum, Reduction::none}) {
    CrossEntropyOptions options;
    options.reduction = reduction;
    grid.push_back(options);
    options.label_smoothing = 0.3;
    options.row_weights = random_uniform({rows}, RngKey{5}, 0.1, 2);
    grid.push_back(options);
  }
  return grid;
}

using tests::error_of;

TEST(CrossEntropyOp, MatchesNumericGradients) {
  const Tensor targets = from_values<std::int64_t>({4}, {2, 0, -100, 1});
  for (const CrossEntropyOptions& options : option_grid(4)) {
    check({4, 3}, targets, options);
    check({4, 19}, targets, options);
  }
}

TEST(CrossEntropyOp, MatchesNumericGradientsForEveryTailLength) {
  for (std::int64_t v = 2; v <= 33; ++v) {
    check({2, v}, from_values<std::int64_t>({2}, {v - 1, v / 2}), {.label_smoothing = 0.1});
    check_soft({2, v}, {.label_smoothing = 0.1});
  }
}

TEST(CrossEntropyOp, SoftMatchesNumericGradientsOfBothInputs) {
  for (const CrossEntropyOptions& options : option_grid(3)) check_soft({3, 7}, options);
}

TEST(CrossEntropyOp, GivesPyTorchsLossAndGradient) {
  const std::vector<double> gradient{0.0573891387,
                                     0.1200836,
                                     0.0925928719,
                                     -0.272155064,
                                     0.00208945288,
                                     0,
                                     0,
                                     0,
                                     0,
                                     0,
                                     -0.149310726,
                                     0.113799835,
                                     0.0346130242,
                                     0.00381068191,
                                     -0.00291281514,
                                     -0.00292474103,
                                     0.00103688585,
                                     0.0216996358,
                                     0.0945329873,
                                     -0.114344768};
  const Var x(waves({4, 5}), true);
  const Var loss = ops::cross_entropy(x, from_values<std::int32_t>({4}, {3, -100, 0, 4}), {.label_smoothing = 0.1});
  backward(loss);
  EXPECT_NEAR(loss.item(), 1.297211641933923, 1e-12);
  EXPECT_LT(max_abs_difference(x.grad(), from_values<double>({4, 5}, gradient)), 1e-9);
}

TEST(CrossEntropyOp, SoftGivesPyTorchsLossAndGradients) {
  const std::vector<double> probabilities{0.00187287046, 0.00553224726, 0.0390903091, 0.263410785,   0.690093788,
                                          0.547922844,   0.36702373,    0.0736205992, 0.00941394775, 0.00201887919,
                                          0.00860479288, 0.0061699383,  0.0176943745, 0.123654128,   0.843876766,
                                          0.162379353,   0.451977054,   0.313221411,  0.0642156322,  0.00820654938};
  const std::vector<double> dlogits{0.0376672799,  0.0839562507,  0.0566265921,  -0.0367984547, -0.141451668,
                                    -0.111413379,  -0.0768587021, -0.0115107019, 0.0364153917,  0.163367391,
                                    0.106295997,   0.0791158889,  0.0174208932,  -0.0268728142, -0.175959965,
                                    -0.0396694264, -0.0946177464, -0.0513695553, 0.053056614,   0.132600114};
  const std::vector<double> dprobabilities{0.329877666, 0.193384849, 0.242280994, 0.45356948,  0.727878032,
                                           0.684169272, 0.728520008, 0.588045618, 0.328813403, 0.0727443234,
                                           0.150126523, 0.203554253, 0.417754472, 0.691985468, 0.897272121,
                                           0.897908527, 0.75349228,  0.492788217, 0.238409531, 0.109994493};
  const Var x(waves({4, 5}), true), p(from_values<double>({4, 5}, probabilities), true);
  const Var loss = ops::cross_entropy_soft(x, p, {.label_smoothing = 0.2});
  backward(loss);
  EXPECT_NEAR(loss.item(), 3.2914775820944495, 1e-8);
  EXPECT_LT(max_abs_difference(x.grad(), from_values<double>({4, 5}, dlogits)), 1e-8);
  EXPECT_LT(max_abs_difference(p.grad(), from_values<double>({4, 5}, dprobabilities)), 1e-8);
}

TEST(CrossEntropyOp, AveragesByRowWeights) {
  const Tensor x = waves({3, 4}), targets = from_values<std::int64_t>({3}, {0, 3, 1});
  const Tensor each = ops::cross_entropy(x, targets, {.reduction = Reduction::none}).value();
  const Tensor weights = from_values<float>({3}, {2, 0, 6});
  const double mean = ops::cross_entropy(x, targets, {.row_weights = weights}).item();
  EXPECT_NEAR(mean, (2 * each.at(0) + 6 * each.at(2)) / 8, 1e-12);
  const double sum = ops::cross_entropy(x, targets, {.row_weights = weights, .reduction = Reduction::sum}).item();
  EXPECT_NEAR(sum, 8 * mean, 1e-12);
  for (int r = 0; r < 3; ++r) {
    EXPECT_NEAR(each.at(r),
                -ops::log_softmax(x).value().at(4 * r + std::vector<int>{0, 3, 1}[static_cast<std::size_t>(r)]), 1e-12);
  }
}

TEST(CrossEntropyOp, IsZeroWhenNothingCounts) {
  const Tensor ignored = from_values<std::int64_t>({2}, {7, 7});
  for (DType dtype : {DType::f32, DType::f64}) {
    const Var x(waves({2, 5}).to(dtype), true);
    const Var loss = ops::cross_entropy(x, ignored, {.ignore_index = 7});
    backward(loss);
    EXPECT_EQ(loss.item(), 0);
    EXPECT_EQ(max_abs(x.grad()), 0);
    EXPECT_EQ(ops::cross_entropy(Tensor({0, 5}, dtype), Tensor({0}, DType::i64)).item(), 0);
    EXPECT_EQ(ops::cross_entropy_soft(Tensor({0, 5}, dtype), Tensor({0, 5}, dtype)).item(), 0);
    EXPECT_EQ(ops::cross_entropy(x, from_values<std::int64_t>({2}, {1, 2}), {.row_weights = zeros({2})}).item(), 0);
  }
}

TEST(CrossEntropyOp, StaysAccurateForLargeVocabularies) {
  const Tensor logits = random_normal({3, 49408}, RngKey{6}, 0, 4, DType::f64);
  const Tensor targets = from_values<std::int64_t>({3}, {49407, 0, 11});
  const auto result = testing::compare_precisions(
      [&](std::span<const Var> in) { return ops::cross_entropy(in[0], targets, {.label_smoothing = 0.1}); },
      std::vector<Tensor>{logits}, {.tolerance = 1e-6});
  EXPECT_TRUE(result.passed) << result.message;
}

TEST(CrossEntropyOp, DoesNotCancelForLargeLogits) {
  const Tensor logits = from_values<float>({1, 3}, {1e6f, 1e6f - 1, -1e6f});
  EXPECT_NEAR(ops::cross_entropy(logits, from_values<std::int64_t>({1}, {0})).item(), std::log1p(std::exp(-1.0)), 0.07);
  const Tensor masked = from_values<float>({1, 3}, {0, 0, -std::numeric_limits<float>::infinity()});
  EXPECT_NEAR(ops::cross_entropy(masked, from_values<std::int64_t>({1}, {1})).item(), std::log(2.0), 1e-6);
}

TEST(CrossEntropyOp, PassesNanOn) {
  Tensor logits = zeros({1, 40});
  logits.mutable_data<float>()[35] = std::numeric_limits<float>::quiet_NaN();
  testing::for_each_isa([&](const std::string& isa) {
    EXPECT_TRUE(std::isnan(ops::cross_entropy(logits, from_values<std::int64_t>({1}, {0})).item())) << isa;
    EXPECT_TRUE(std::isnan(ops::cross_entropy_soft(logits, ones({1, 40})).item())) << isa;
  });
}

TEST(CrossEntropyOp, GivesTheSameBitsForAnyThreadCount) {
  const Tensor logits = random_normal({150, 301}, RngKey{7});
  Tensor targets = arange(150);
  const int threads = num_threads();
  std::vector<Tensor> losses, gradients;
  for (int n : {1, 3}) {
    set_num_threads(n);
    const Var x(logits, true);
    const Var loss = ops::cross_entropy(x, targets);
    backward(loss);
    losses.push_back(loss.value());
    gradients.push_back(x.grad());
  }
  set_num_threads(threads);
  EXPECT_EQ(count_different_bits(losses[0], losses[1]), 0);
  EXPECT_EQ(count_different_bits(gradients[0], gradients[1]), 0);
}

TEST(CrossEntropyOp, NamesWhatDoesNotFit) {
  const Tensor x = waves({2, 5});
  EXPECT_EQ(
      error_of([&] {
        ops::cross_entropy(x, from_values<std::int64_t>({2}, {1, 5}));
      }),
      "[cross_entropy] target of row 1 is 5, logits have 5 classes\nhint: rows to leave out have the target -100");
  EXPECT_EQ(
      error_of([&] {
        ops::cross_entropy(x, from_values<std::int32_t>({2}, {-1, 0}));
      }),
      "[cross_entropy] target of row 0 is -1, logits have 5 classes\nhint: rows to leave out have the target -100");
  EXPECT_EQ(error_of([&] { ops::cross_entropy(x, arange(3)); }),
            "[cross_entropy] targets are (3,), logits have 2 rows");
  EXPECT_EQ(error_of([&] { ops::cross_entropy(x, zeros({2})); }),
            "[cross_entropy] targets are f32, expected i32 or i64\nhint: cross_entropy_soft takes probabilities");
  EXPECT_EQ(error_of([&] { ops::cross_entropy(zeros({2}), arange(2)); }),
            "[cross_entropy] logits are (2,), expected (R, V) with at least one class");
  EXPECT_EQ(error_of([&] { ops::cross_entropy(x, arange(2), {.label_smoothing = 1.5}); }),
            "[cross_entropy] label smoothing is 1.5, expected 0 to 1");
  EXPECT_EQ(error_of([&] { ops::cross_entropy(x, arange(2), {.row_weights = zeros({3})}); }),
            "[cross_entropy] row weights are (3,), expected (2,)");
  EXPECT_EQ(error_of([&] {
              ops::cross_entropy_soft(x, waves({2, 4}));
            }),
            "[cross_entropy_soft] targets are f64 (2, 4), logits f64 (2, 5)");
}

}  // namespace
}  // namespace fovea
