#include "fovea/objectives/sigmoid.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "../support/error_of.h"
#include "fovea/autograd/backward.h"
#include "fovea/core/allocator.h"
#include "fovea/objectives/any_objective.h"
#include "fovea/objectives/info_nce.h"
#include "fovea/ops/reduce.h"
#include "fovea/testing/gradcheck.h"

namespace fovea::objectives {
namespace {

// big_vision's siglip.py as it stands: minus the mean over rows of the sum of log sigmoid(m z), m = 2 I - 1.
double reference(const Tensor& image, const Tensor& text, double scale, double bias) {
  const std::int64_t b = image.dim(0), e = image.dim(1);
  double total = 0;
  for (std::int64_t i = 0; i < b; ++i) {
    for (std::int64_t j = 0; j < b; ++j) {
      double dot = 0;
      for (std::int64_t k = 0; k < e; ++k) dot += image.at(i * e + k) * text.at(j * e + k);
      const double z = scale * dot + bias, m = i == j ? 1 : -1;
      total += std::log(1 + std::exp(-m * z));
    }
  }
  return total / static_cast<double>(b);
}

Tensor one(double value, DType type) { return full({1}, value, type); }

TEST(Sigmoid, MatchesAPlainReference) {
  for (const auto& [b, e] : {std::pair<std::int64_t, std::int64_t>{1, 3}, {2, 1}, {7, 5}, {33, 16}}) {
    const auto in = testing::normal_inputs({{b, e}, {b, e}});
    for (const DType type : {DType::f64, DType::f32}) {
      const Tensor image = in[0].to(type), text = in[1].to(type);
      const double tolerance = type == DType::f64 ? 1e-12 : 1e-5;
      const double scaled = reference(in[0], in[1], std::exp(0.7), -1.5);
      EXPECT_NEAR(Sigmoid{}({image, text, one(0.7, type), one(-1.5, type)}, {}).total.item(), scaled,
                  tolerance * (1 + scaled));
      const double divided = reference(in[0], in[1], 1 / 0.7, -1.5);
      EXPECT_NEAR(Sigmoid{}({image, text, {}, one(-1.5, type), one(0.7, type)}, {}).total.item(), divided,
                  tolerance * (1 + divided));
    }
  }
}

TEST(Sigmoid, GradientsOfFeaturesScaleAndBias) {
  for (const std::int64_t rank : {0, 1}) {
    const Shape number = rank == 0 ? Shape{} : Shape{1};
    const auto result = testing::check_op(
        [](std::span<const Var> in) {
          return Sigmoid{}({in[0], in[1], in[2], in[3]}, nn::Ctx{}).total;
        },
        testing::normal_inputs({{5, 4}, {5, 4}, number, number}), {.step = 1e-3});
    EXPECT_TRUE(result) << result.message;
  }
}

// With cosines of 0, one pair of a row is right with probability sigmoid(-10), all others with sigmoid(10).
TEST(Sigmoid, ExpectedFirstLossIsThatOfCosinesOfZero) {
  const Tensor nothing = zeros({64, 8}, DType::f64);
  const Embeddings e{nothing, nothing, one(std::log(10), DType::f64), one(-10, DType::f64)};
  const double loss = Sigmoid{}(e, nn::Ctx{}).total.item();
  EXPECT_NEAR(loss, 10 + 64 * 4.54e-5, 1e-4);
  EXPECT_NEAR(Sigmoid{}.expected_first_loss(64, e), loss, 1e-12);
  EXPECT_NEAR(AnyFeatureObjective(Sigmoid{}).expected_first_loss(64, e), loss, 1e-12);
}

// Bytes of /proc/self/status, such as "VmHWM", the largest resident memory so far.
std::int64_t status_bytes(const std::string& key) {
  std::ifstream in("/proc/self/status");
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with(key + ":")) return std::stoll(line.substr(key.size() + 1)) * 1024;
  }
  return -1;
}

// One pass over a batch of n pairs of features of width d, where pair i is the unit vector i % d in both: the memory
// beyond features and their gradients, and everything in closed form.
void expect_streamed(std::int64_t n, std::int64_t d, std::int64_t most_bytes) {
  Tensor features = zeros({n, d});
  for (std::int64_t i = 0; i < n; ++i) features.mutable_data<float>()[i * d + i % d] = 1;
  const Var image(features, true), text(features.clone(), true);
  const Var scale(one(std::log(10), DType::f32), true), bias(one(-10, DType::f32), true);
  // Gradients that are there already, so that they do not count.
  backward(ops::add(ops::sum(ops::mul(image, 0)), ops::sum(ops::mul(text, 0))));
  allocator::release_cached();
  allocator::reset_peak();
  const std::int64_t before = allocator::stats().live_bytes;
  std::ofstream("/proc/self/clear_refs") << 5;  // the largest resident memory is now the present one
  const std::int64_t resident = status_bytes("VmRSS");
  const Loss loss = Sigmoid{}({image, text, scale, bias}, nn::Ctx{});
  backward(loss.total);
  EXPECT_LE(allocator::stats().peak_bytes - before, most_bytes);
  EXPECT_LE(status_bytes("VmHWM") - resident, most_bytes);

  const double equal = static_cast<double>(n / d), s = 10, b = -10;
  const auto softplus = [](double x) { return std::log1p(std::exp(x)); };
  const auto sigmoid = [](double x) { return 1 / (1 + std::exp(-x)); };
  const double expected =
      softplus(-s - b) + (equal - 1) * softplus(s + b) + static_cast<double>(n) * softplus(b) - equal * softplus(b);
  EXPECT_NEAR(loss.total.item(), expected, 1e-4 * expected);
  const double of_equal = -sigmoid(-s - b) + (equal - 1) * sigmoid(s + b), of_other = equal * sigmoid(b);
  EXPECT_NEAR(scale.grad().item(), s * of_equal, 1e-3 * std::abs(s * of_equal));
  const double of_bias = of_equal + (static_cast<double>(n) - equal) * sigmoid(b);
  EXPECT_NEAR(bias.grad().item(), of_bias, 1e-3 * std::abs(of_bias));
  for (const Var* side : {&image, &text}) {
    for (const std::int64_t row : {std::int64_t{0}, n / 2 + 3, n - 1}) {
      for (const std::int64_t k : {row % d, (row + 1) % d}) {
        const double gradient = s / static_cast<double>(n) * (k == row % d ? of_equal : of_other);
        EXPECT_NEAR(side->grad().at(row * d + k), gradient, 1e-3 * std::abs(gradient)) << row << ", " << k;
      }
    }
  }
}

TEST(Sigmoid, MemoryDoesNotGrowWithTheSquareOfTheBatch) {
  expect_streamed(4096, 64, std::int64_t{32} << 20);  // the logits would be 64 MB
}
TEST(Sigmoid, Slow65536PairsTake200Megabytes) { expect_streamed(65536, 512, 200'000'000); }

TEST(Sigmoid, RefusesFeaturesThatDoNotFitAndAMissingBias) {
  const auto error = [](const Shape& image, const Shape& text, const Var& bias) {
    return tests::error_of([&] { Sigmoid{}({zeros(image), zeros(text), scalar(1), bias}, nn::Ctx{}); });
  };
  EXPECT_EQ(error({3, 4}, {3, 5}, scalar(0)),
            "[sigmoid] image features are (3, 4), text features (3, 5), expected two equal (B, E)");
  EXPECT_NE(error({3, 4}, {3, 4}, {}).find("[sigmoid] there is no logit_bias"), std::string::npos);
}

}  // namespace
}  // namespace fovea::objectives
