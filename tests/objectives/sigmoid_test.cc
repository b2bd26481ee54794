#include "fovea/objectives/sigmoid.h"

#include <gtest/gtest.h>

#include "../support/error_of.h"
#include "fovea/objectives/any_objective.h"
#include "fovea/objectives/info_nce.h"
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
