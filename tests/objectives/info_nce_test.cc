#include "fovea/objectives/info_nce.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "fovea/autograd/backward.h"
#include "fovea/objectives/any_objective.h"
#include "fovea/tensor/reduce.h"
#include "fovea/testing/gradcheck.h"

namespace fovea::objectives {
namespace {

// Of `logits` (B, B), the mean cross-entropy of rows (or columns) against the diagonal, whose share of the target is
// 1 - smoothing + smoothing / B.
double cross_entropy(const std::vector<std::vector<double>>& logits, double smoothing, bool columns) {
  const std::size_t b = logits.size();
  double total = 0;
  for (std::size_t i = 0; i < b; ++i) {
    const auto logit = [&](std::size_t j) { return columns ? logits[j][i] : logits[i][j]; };
    double sum = 0, target = 0;
    for (std::size_t j = 0; j < b; ++j) {
      sum += std::exp(logit(j));
      target += (smoothing / static_cast<double>(b) + (i == j ? 1 - smoothing : 0)) * logit(j);
    }
    total += std::log(sum) - target;
  }
  return total / static_cast<double>(b);
}

struct Expected {
  double i2t, t2i;
};

Expected reference(const Tensor& image, const Tensor& text, double logit_scale, double smoothing) {
  const std::int64_t b = image.dim(0), e = image.dim(1);
  std::vector<std::vector<double>> logits;
  for (std::int64_t i = 0; i < b; ++i) {
    auto& row = logits.emplace_back();
    for (std::int64_t j = 0; j < b; ++j) {
      double dot = 0;
      for (std::int64_t k = 0; k < e; ++k) dot += image.at(i * e + k) * text.at(j * e + k);
      row.push_back(std::exp(logit_scale) * dot);
    }
  }
  return {cross_entropy(logits, smoothing, false), cross_entropy(logits, smoothing, true)};
}

double part(const Loss& loss, const std::string& name) {
  for (const auto& [key, value] : loss.parts) {
    if (key == name) return value;
  }
  ADD_FAILURE() << "the loss has no part " << name;
  return 0;
}

TEST(InfoNce, MatchesAPlainReference) {
  for (const auto& [b, e] : {std::pair<std::int64_t, std::int64_t>{1, 3}, {2, 1}, {7, 5}, {33, 16}}) {
    for (const double smoothing : {0.0, 0.1, 1.0}) {
      const auto in = testing::normal_inputs({{b, e}, {b, e}});
      const Expected expected = reference(in[0], in[1], 0.7, smoothing);
      for (const DType type : {DType::f64, DType::f32}) {
        const double tolerance = type == DType::f64 ? 1e-12 : 1e-5;
        const Loss loss = InfoNce{smoothing}({in[0].to(type), in[1].to(type), scalar(0.7, type)}, nn::Ctx{});
        EXPECT_NEAR(loss.total.item(), (expected.i2t + expected.t2i) / 2, tolerance * (1 + expected.i2t));
        EXPECT_NEAR(part(loss, "loss_i2t"), expected.i2t, tolerance * (1 + expected.i2t));
        EXPECT_NEAR(part(loss, "loss_t2i"), expected.t2i, tolerance * (1 + expected.t2i));
      }
    }
  }
}

// ALIGN: coyo-align adds both directions, Hugging Face's align_loss halves the sum; the temperature divides.
TEST(InfoNce, OfATemperatureAndOfTheSumOfDirections) {
  const auto in = testing::normal_inputs({{7, 5}, {7, 5}});
  const Expected expected = reference(in[0], in[1], std::log(1 / 0.6), 0.1);
  const Embeddings e{in[0], in[1], {}, {}, scalar(0.6, DType::f64)};
  EXPECT_NEAR(InfoNce{0.1}(e, nn::Ctx{}).total.item(), (expected.i2t + expected.t2i) / 2, 1e-12);
  const Loss sum = (InfoNce{0.1, true}(e, nn::Ctx{}));
  EXPECT_NEAR(sum.total.item(), expected.i2t + expected.t2i, 1e-12);
  EXPECT_NEAR(part(sum, "loss_i2t"), expected.i2t, 1e-12);
  const std::vector<Tensor> inputs{in[0], in[1], scalar(0.6, DType::f64)};
  const auto result = testing::check_op(
      [&](std::span<const Var> x) {
        return InfoNce{0.1, true}({x[0], x[1], {}, {}, x[2]}, nn::Ctx{}).total;
      },
      inputs, {.step = 1e-3});
  EXPECT_TRUE(result) << result.message;
}

TEST(InfoNce, ExpectedFirstLossIsThatOfGuessing) {
  const Tensor same = full({8, 3}, 0.5);
  for (const InfoNce& objective : {InfoNce{}, InfoNce{0.1}, InfoNce{0.1, true}}) {
    const Embeddings e{same, same, scalar(2)};
    EXPECT_NEAR(objective.expected_first_loss(8, e), objective(e, nn::Ctx{}).total.item(), 1e-6);
    EXPECT_EQ(AnyFeatureObjective(objective).expected_first_loss(8, e), objective.expected_first_loss(8, e));
  }
}

TEST(InfoNce, GradientsOfFeaturesAndLogitScale) {
  for (const double smoothing : {0.0, 0.2}) {
    const auto result = testing::check_op(
        [&](std::span<const Var> in) {
          return InfoNce{smoothing}({in[0], in[1], in[2]}, nn::Ctx{}).total;
        },
        testing::normal_inputs({{5, 4}, {5, 4}, {}}), {.step = 1e-3});
    EXPECT_TRUE(result) << smoothing << ": " << result.message;
  }
}

// d loss / d logit_scale = sum dlogits * logits with dlogits = (P + Q - 2 I) / (2 B), P and Q the softmax of rows and
// columns: for two pairs of one number each it can be written down.
TEST(InfoNce, LogitScaleGradientInClosedForm) {
  const Var scale(scalar(0.5, DType::f64), true);
  const Tensor image = from_values<double>({2, 1}, {1, -1}), text = from_values<double>({2, 1}, {1, -1});
  backward(InfoNce{}({image, text, scale}, nn::Ctx{}).total);
  const double s = std::exp(0.5);  // logits are s [[1, -1], [-1, 1]], so every softmax is (p, 1 - p)
  const double p = 1 / (1 + std::exp(-2 * s));
  EXPECT_NEAR(scale.grad().item(), -2 * s * (1 - p), 1e-14);
}

TEST(InfoNce, PermutingThePairsLeavesTheLoss) {
  const auto in = testing::normal_inputs({{6, 4}, {6, 4}});
  const std::vector<std::int64_t> order{3, 0, 5, 1, 4, 2};
  const auto permuted = [&](const Tensor& x) {
    Tensor y(x.shape(), x.dtype());
    for (std::int64_t i = 0; i < 6; ++i)
      y.rows(i, i + 1).copy_from(x.rows(order[static_cast<std::size_t>(i)], order[static_cast<std::size_t>(i)] + 1));
    return y;
  };
  const Tensor scale = scalar(1, DType::f64);
  const double loss = InfoNce{}({in[0], in[1], scale}, nn::Ctx{}).total.item();
  EXPECT_NEAR(InfoNce{}({permuted(in[0]), permuted(in[1]), scale}, nn::Ctx{}).total.item(), loss, 1e-13);
  EXPECT_GT(std::abs(InfoNce{}({permuted(in[0]), in[1], scale}, nn::Ctx{}).total.item() - loss), 1e-4);
}

TEST(InfoNce, SwappingTheTowersSwapsTheParts) {
  const auto in = testing::normal_inputs({{6, 4}, {6, 4}});
  const Tensor scale = scalar(1, DType::f64);
  const Loss loss = InfoNce{}({in[0], in[1], scale}, nn::Ctx{}), swapped = InfoNce{}({in[1], in[0], scale}, nn::Ctx{});
  EXPECT_NEAR(loss.total.item(), swapped.total.item(), 1e-13);
  EXPECT_NEAR(part(loss, "loss_i2t"), part(swapped, "loss_t2i"), 1e-13);
}

// Equal features give every pair the same logit: the loss is that of guessing.
TEST(InfoNce, OfEqualFeaturesIsLogB) {
  const Tensor same = full({8, 3}, 0.5);
  EXPECT_NEAR(InfoNce{}({same, same, scalar(2)}, nn::Ctx{}).total.item(), std::log(8.0), 1e-6);
}

TEST(InfoNce, LargeLogitsStayFinite) {
  const auto in = testing::normal_inputs({{4, 4}, {4, 4}});
  const Var image(in[0].to(DType::f32), true);
  const Loss loss = InfoNce{}({image, in[1].to(DType::f32), scalar(6)}, nn::Ctx{});  // logits of some hundreds
  EXPECT_TRUE(std::isfinite(loss.total.item()));
  backward(loss.total);
  EXPECT_TRUE(all_finite(image.grad()));
}

TEST(InfoNce, RefusesFeaturesThatDoNotFit) {
  const Tensor scale = scalar(1);
  const auto error = [&](const Shape& image, const Shape& text) -> std::string {
    try {
      InfoNce{}({zeros(image), zeros(text), scale}, nn::Ctx{});
    } catch (const Error& e) {
      return e.what();
    }
    return "nothing was thrown";
  };
  EXPECT_EQ(error({3, 4}, {3, 5}),
            "[info_nce] image features are (3, 4), text features (3, 5), expected two equal (B, E)");
  EXPECT_NE(error({3, 4}, {2, 4}), "nothing was thrown");
  EXPECT_NE(error({3, 4, 1}, {3, 4, 1}), "nothing was thrown");
  EXPECT_NE(error({4}, {4}), "nothing was thrown");
}

// What the trainers hold, and what research code passes, are one objective.
TEST(InfoNce, IsTheSameBehindTheWrappers) {
  const auto in = testing::normal_inputs({{3, 4}, {3, 4}});
  const Embeddings e{in[0], in[1], scalar(1, DType::f64)};
  const double loss = InfoNce{0.1}(e, nn::Ctx{}).total.item();
  EXPECT_EQ(AnyFeatureObjective(InfoNce{0.1})(e, nn::Ctx{}).total.item(), loss);
  struct Model {
    Embeddings result;
    Embeddings embed(int, const nn::Ctx&) const { return result; }
  };
  EXPECT_EQ(OverFeatures<InfoNce>{{0.1}}(Model{e}, 0, nn::Ctx{}).total.item(), loss);
}

}  // namespace
}  // namespace fovea::objectives
