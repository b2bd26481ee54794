#include "fovea/ops/contrastive.h"

#include <gtest/gtest.h>

#include <string>

#include "../support/error_of.h"
#include "fovea/autograd/backward.h"
#include "fovea/core/allocator.h"
#include "fovea/ops/cross_entropy.h"
#include "fovea/ops/elementwise.h"
#include "fovea/ops/matmul.h"
#include "fovea/ops/reduce.h"
#include "fovea/ops/shape.h"
#include "fovea/tensor/factory.h"
#include "fovea/testing/gradcheck.h"

namespace fovea::ops {
namespace {

Tensor labels(std::int64_t rows, std::int64_t offset) {
  Tensor out = arange(rows);
  for (std::int64_t i = 0; i < rows; ++i) out.mutable_data<std::int64_t>()[i] += offset;
  return out;
}

// The same loss from stored logits.
Var composed_info_nce(const Var& a, const Var& b, const Var& scale, const InfoNceOptions& options) {
  CrossEntropyOptions smoothed;
  smoothed.label_smoothing = options.label_smoothing;
  const Var logits = mul(matmul(a, b, false, true), scale);
  const Var rows = cross_entropy(logits, labels(a.dim(0), options.label_offset), smoothed);
  if (options.sides == InfoNceSides::rows) return rows;
  return mul(add(rows, cross_entropy(transpose(logits, {1, 0}), labels(a.dim(0), 0), smoothed)), 0.5);
}

void expect_same_as_composed(const Shape& a_shape, const Shape& b_shape, const InfoNceOptions& options) {
  const auto in = testing::normal_inputs({a_shape, b_shape, {}});
  for (const DType type : {DType::f64, DType::f32}) {
    const auto gradients = [&](auto&& loss_of) {
      const Var a(in[0].to(type).clone(), true), b(in[1].to(type).clone(), true), scale(full({}, 0.7, type), true);
      const Var loss = loss_of(a, b, scale, options);
      backward(mul(loss, 1.5));
      return std::vector<Tensor>{loss.value(), a.grad(), b.grad(), scale.grad()};
    };
    const auto streamed = gradients([](auto&&... args) { return info_nce(args...).loss; });
    const auto expected = gradients(composed_info_nce);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_LE(testing::relative_error(streamed[i], expected[i], 1e-3), type == DType::f64 ? 1e-11 : 1e-5) << i;
    }
  }
}

TEST(InfoNceOp, IsTheCrossEntropyOfStoredLogits) {
  for (const double smoothing : {0.0, 0.1, 1.0}) {
    expect_same_as_composed({9, 4}, {9, 4}, {.label_smoothing = smoothing});    // logits are kept: fewer than features
    expect_same_as_composed({40, 3}, {40, 3}, {.label_smoothing = smoothing});  // and computed again
    expect_same_as_composed({5, 4}, {12, 4}, {smoothing, 6, InfoNceSides::rows});
  }
}

TEST(InfoNceOp, Gradients) {
  for (const double smoothing : {0.0, 0.2}) {
    for (const InfoNceSides sides : {InfoNceSides::both, InfoNceSides::rows}) {
      const auto result = testing::check_op(
          [&](std::span<const Var> in) {
            return info_nce(in[0], in[1], in[2], {.label_smoothing = smoothing, .sides = sides}).loss;
          },
          testing::normal_inputs({{5, 4}, {5, 4}, {}}));
      EXPECT_TRUE(result) << smoothing << ": " << result.message;
    }
  }
}

// What the ranks of a batch compute, each its rows of both sides against all features, is the loss of the whole.
TEST(InfoNceOp, BlocksOfRowsAddUpToTheWhole) {
  const auto in = testing::normal_inputs({{6, 4}, {6, 4}});
  const Var scale(full({}, 0.7, DType::f64), true), image(in[0], true), text(in[1], true);
  backward(info_nce(image, text, scale, {.label_smoothing = 0.1}).loss);
  const double whole = info_nce(image, text, scale, {.label_smoothing = 0.1}).loss.item();
  const Var scale_blocks(full({}, 0.7, DType::f64), true), image_blocks(in[0], true), text_blocks(in[1], true);
  double total = 0;
  for (const std::int64_t begin : {0, 2, 4}) {
    const InfoNceOptions options{0.1, begin, InfoNceSides::rows};
    const Var i2t = info_nce(slice(image_blocks, 0, begin, begin + 2), text_blocks, scale_blocks, options).loss;
    const Var t2i = info_nce(slice(text_blocks, 0, begin, begin + 2), image_blocks, scale_blocks, options).loss;
    const Var loss = mul(add(i2t, t2i), 1.0 / 6);
    total += loss.item();
    backward(loss);
  }
  EXPECT_NEAR(total, whole, 1e-12);
  EXPECT_LE(testing::relative_error(image_blocks.grad(), image.grad(), 1e-6), 1e-10);
  EXPECT_LE(testing::relative_error(text_blocks.grad(), text.grad(), 1e-6), 1e-10);
  EXPECT_NEAR(scale_blocks.grad().item(), scale.grad().item(), 1e-12);
}

TEST(InfoNceOp, OneSetOfFeaturesOnBothSides) {
  for (const DType type : {DType::f64, DType::f32}) {
    const Tensor x = testing::normal_inputs({{40, 3}})[0].to(type);
    const Var once(x, true), left(x, true), right(x, true), scale(full({}, 1, type));
    backward(info_nce(once, once, scale).loss);
    backward(info_nce(left, right, scale).loss);
    Tensor sum = left.grad().clone();
    for (std::int64_t i = 0; i < sum.numel(); ++i) {
      dispatch_floating(type, "test", [&]<class T>() { sum.mutable_data<T>()[i] += right.grad().data<T>()[i]; });
    }
    EXPECT_LE(testing::relative_error(once.grad(), sum, 1e-6), type == DType::f64 ? 1e-12 : 1e-5);
  }
}

TEST(InfoNceOp, NoPairsGiveZero) {
  const Var image(zeros({0, 4}), true), text(zeros({0, 4}), true), scale(full({}, 1), true);
  const Var loss = info_nce(image, text, scale).loss;
  EXPECT_EQ(loss.item(), 0);
  backward(loss);
  EXPECT_EQ(scale.grad().item(), 0);
}

// Neither pass stores the logits: 64 MB here.
TEST(InfoNceOp, MemoryDoesNotGrowWithTheSquare) {
  const std::int64_t n = 4096, width = 8;
  const Var a(random_normal({n, width}, RngKey{1}), true), b(random_normal({n, width}, RngKey{2}), true);
  const Var scale(full({}, 1), true), bias(full({}, -1), true);
  for (const bool sigmoid : {false, true}) {
    allocator::reset_peak();
    const std::int64_t before = allocator::stats().live_bytes;
    backward(sigmoid ? pair_sigmoid(a, b, scale, bias) : info_nce(a, b, scale).loss);
    EXPECT_LE(allocator::stats().peak_bytes - before, 6 << 20);
  }
}

TEST(InfoNceOp, RefusesWhatDoesNotFit) {
  const auto error = [](const Shape& a, const Shape& b, const InfoNceOptions& options = {}) {
    return tests::error_of([&] { info_nce(zeros(a), zeros(b), full({}, 1), options); });
  };
  EXPECT_EQ(error({3, 4}, {3, 5}), "[info_nce] features are (3, 4) and (3, 5), expected (R, E) and (N, E)");
  EXPECT_NE(error({3, 4}, {5, 4}).find("3 rows and 5 columns, expected as many"), std::string::npos);
  EXPECT_NE(error({3, 4}, {5, 4}, {0, 3, InfoNceSides::rows}).find("rows 3 to 6 have labels among 5 columns"),
            std::string::npos);
  EXPECT_EQ(error({3, 4}, {3, 4}, {.label_smoothing = 1.5}), "[info_nce] label smoothing is 1.5, expected 0 to 1");
}

Var composed_pair_sigmoid(const Var& a, const Var& b, const Var& scale, const Var& bias) {
  const std::int64_t n = a.dim(0);
  Tensor sign = full({n, n}, 1, a.dtype());
  dispatch_floating(a.dtype(), "test", [&]<class T>() {
    for (std::int64_t i = 0; i < n; ++i) sign.mutable_data<T>()[i * n + i] = -1;
  });
  const Var logits = mul(add(mul(matmul(a, b, false, true), scale), bias), Var(sign));
  return mul(sum(log(add(exp(logits), 1.0))), 1 / static_cast<double>(n));
}

TEST(PairSigmoidOp, IsTheSumOverStoredLogits) {
  const auto in = testing::normal_inputs({{21, 4}, {21, 4}});
  const auto gradients = [&](auto&& loss_of) {
    const Var a(in[0].clone(), true), b(in[1].clone(), true), scale(full({}, 0.7, DType::f64), true);
    const Var bias(full({}, -0.4, DType::f64), true), loss = loss_of(a, b, scale, bias);
    backward(mul(loss, 1.5));
    return std::vector<Tensor>{loss.value(), a.grad(), b.grad(), scale.grad(), bias.grad()};
  };
  const auto streamed = gradients([](auto&&... args) { return pair_sigmoid(args...); });
  const auto expected = gradients(composed_pair_sigmoid);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_LE(testing::relative_error(streamed[i], expected[i], 1e-6), 1e-11) << i;
  }
}

TEST(PairSigmoidOp, Gradients) {
  for (const std::int64_t offset : {0, 2}) {
    const auto result =
        testing::check_op([&](std::span<const Var> in) { return pair_sigmoid(in[0], in[1], in[2], in[3], offset); },
                          testing::normal_inputs({{5, 4}, {7, 4}, {}, {}}));
    EXPECT_TRUE(result) << result.message;
  }
}

}  // namespace
}  // namespace fovea::ops
