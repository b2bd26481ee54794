#include "fovea/ops/reduce.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "fovea/autograd/backward.h"
#include "fovea/tensor/factory.h"
#include "fovea/tensor/reduce.h"
#include "fovea/testing/gradcheck.h"

namespace fovea {
namespace {

using Reduction = Var (*)(const Var&, std::initializer_list<int>, bool);

const std::pair<const char*, Reduction> all_reductions[] = {
    {"sum", ops::sum}, {"mean", ops::mean}, {"max", ops::max}, {"logsumexp", ops::logsumexp}, {"norm", ops::norm}};

TEST(ReduceTest, MatchesNumericGradientsOverAnyAxes) {
  const std::initializer_list<int> axes_of_cases[] = {{}, {0}, {1}, {2}, {0, 1}, {0, 2}, {1, 2}, {-1}, {0, 1, 2}};
  for (const auto& [name, reduce] : all_reductions) {
    for (const auto& axes : axes_of_cases) {
      for (bool keepdims : {false, true}) {
        const auto result =
            testing::check_op([&, f = reduce](std::span<const Var> in) { return f(in[0], axes, keepdims); },
                              testing::normal_inputs({{3, 4, 5}}), {.step = 1e-4});
        EXPECT_TRUE(result.passed) << name << " over " << axes.size() << " axes: " << result.message;
      }
    }
  }
}

TEST(ReduceTest, LongAxesMatchNumericGradients) {
  for (const auto& [name, reduce] : all_reductions) {
    for (int axis : {0, 1}) {
      const auto result =
          testing::check_op([&, f = reduce](std::span<const Var> in) { return f(in[0], {axis}, false); },
                            testing::normal_inputs({{37, 19}}), {.step = 1e-4});
      EXPECT_TRUE(result.passed) << name << " over axis " << axis << ": " << result.message;
    }
  }
}

// The value of each reduction of 0..5 as (2, 3).
TEST(ReduceTest, ValuesAndShapes) {
  const Var x = from_values<double>({2, 3}, {0, 1, 2, 3, 4, 5});
  const auto expect = [](const Var& y, const Shape& shape, std::vector<double> values) {
    ASSERT_EQ(y.shape(), shape);
    EXPECT_LT(max_abs_difference(y.value(), from_values<double>(shape, values)), 1e-12);
  };
  expect(ops::sum(x), {}, {15});
  expect(ops::sum(x, {0}), {3}, {3, 5, 7});
  expect(ops::sum(x, {1}, true), {2, 1}, {3, 12});
  expect(ops::mean(x, {-1}), {2}, {1, 4});
  expect(ops::mean(x, {}, true), {1, 1}, {2.5});
  expect(ops::max(x, {0}), {3}, {3, 4, 5});
  expect(ops::logsumexp(x, {1}), {2},
         {std::log(1 + std::exp(1) + std::exp(2)), 3 + std::log(1 + std::exp(1) + std::exp(2))});
  expect(ops::norm(x, {0}), {3}, {3, std::sqrt(17), std::sqrt(29)});
}

TEST(ReduceTest, SumsOverSeparatedAxesEqualAPlainLoop) {
  const Tensor x = random_normal({3, 4, 2, 5}, RngKey{1});
  const Tensor y = ops::sum(x, {0, 2}).value();
  ASSERT_EQ(y.shape(), (Shape{4, 5}));
  for (std::int64_t b = 0; b < 4; ++b) {
    for (std::int64_t d = 0; d < 5; ++d) {
      double total = 0;
      for (std::int64_t a = 0; a < 3; ++a) {
        for (std::int64_t c = 0; c < 2; ++c) total += x.at(((a * 4 + b) * 2 + c) * 5 + d);
      }
      EXPECT_NEAR(y.at(b * 5 + d), total, 1e-5);
    }
  }
}

TEST(ReduceTest, EqualMaximaShareTheGradient) {
  const Var x(from_values<float>({2, 3}, {1, 2, 2, 5, 4, 5}), true);
  backward(ops::max(x, {1}), from_values<float>({2}, {6, 8}));
  EXPECT_EQ(max_abs_difference(x.grad(), from_values<float>({2, 3}, {0, 3, 3, 4, 0, 4})), 0);
}

TEST(ReduceTest, NormHasNoGradientAtZero) {
  const Var x(from_values<float>({2, 2}, {0, 0, 3, 4}), true);
  backward(ops::norm(x, {1}), ones({2}));
  EXPECT_LT(max_abs_difference(x.grad(), from_values<float>({2, 2}, {0, 0, 0.6f, 0.8f})), 1e-7);
}

TEST(ReduceTest, LogSumExpDoesNotOverflow) {
  const float infinity = std::numeric_limits<float>::infinity();
  const Var x(from_values<float>({3, 2}, {1000, 1000, -infinity, 2, -infinity, -infinity}), true);
  const Var y = ops::logsumexp(x, {1});
  EXPECT_FLOAT_EQ(static_cast<float>(y.value().at(0)), 1000.6931f);
  EXPECT_EQ(y.value().at(1), 2);
  EXPECT_EQ(y.value().at(2), -infinity);
  backward(y, ones({3}));
  EXPECT_LT(max_abs_difference(x.grad(), from_values<float>({3, 2}, {0.5f, 0.5f, 0, 1, 0, 0})),
            6e-5);  // f32's spacing at 1000
}

TEST(ReduceTest, NothingToReduce) {
  const Var x(zeros({0, 3}), true);
  EXPECT_EQ(ops::sum(x).item(), 0);
  EXPECT_EQ(ops::norm(x).item(), 0);
  const Var y = ops::sum(x, {0});
  EXPECT_EQ(max_abs_difference(y.value(), zeros({3})), 0);
  backward(y, ones({3}));
  EXPECT_EQ(ops::max(x, {1}).shape(), (Shape{0}));  // no rows, so no row without a maximum
  EXPECT_THROW(ops::max(x), Error);
  EXPECT_THROW(ops::max(x, {0}), Error);
  EXPECT_THROW(ops::mean(x), Error);
  EXPECT_THROW(ops::logsumexp(x), Error);
}

TEST(ReduceTest, ErrorsNameTheAxis) {
  const auto message = [](std::initializer_list<int> axes) -> std::string {
    try {
      ops::sum(zeros({2, 3}), axes);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_EQ(message({2}), "[sum] axis 2 is out of range for (2, 3)");
  EXPECT_EQ(message({0, -2}), "[sum] axis -2 is named twice");
}

}  // namespace
}  // namespace fovea
