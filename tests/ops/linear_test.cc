#include "fovea/ops/linear.h"

#include <gtest/gtest.h>

#include "fovea/tensor/factory.h"
#include "fovea/testing/gradcheck.h"

namespace fovea {
namespace {

using testing::check_op;
using testing::normal_inputs;

TEST(Linear, GradientsForEveryActivation) {
  for (Activation activation : {Activation::none, Activation::relu, Activation::gelu, Activation::gelu_tanh,
                                Activation::quick_gelu, Activation::silu}) {
    const auto f = [&](std::span<const Var> in) { return ops::linear(in[0], in[1], in[2], activation, in[3]); };
    const auto result = check_op(f, normal_inputs({{3, 5}, {7, 5}, {7}, {3, 7}}, 3));
    EXPECT_TRUE(result) << static_cast<int>(activation) << ": " << result.message;
  }
}

TEST(Linear, GradientsWithoutBiasOverLeadingAxes) {
  const auto f = [](std::span<const Var> in) { return ops::linear(in[0], in[1]); };
  for (const Shape& x : {Shape{5}, Shape{2, 3, 5}, Shape{0, 5}}) {
    const auto result = check_op(f, normal_inputs({x, {4, 5}}));
    EXPECT_TRUE(result) << to_string(x) << ": " << result.message;
  }
}

TEST(Linear, ValueOfAWorkedExample) {
  const Var x = from_values<float>({1, 2}, {1, 2}), w = from_values<float>({3, 2}, {1, 0, 0, 1, 1, 1});
  const Var b = from_values<float>({3}, {10, -20, 30});
  const Tensor y = ops::linear(x, w, b, Activation::relu).value();
  EXPECT_EQ(y.at(0), 11);
  EXPECT_EQ(y.at(1), 0);
  EXPECT_EQ(y.at(2), 33);
}

TEST(Linear, ShapesThatDoNotFitAreErrors) {
  const Var x = zeros({2, 3}), w = zeros({4, 5});
  EXPECT_THROW(ops::linear(x, w), Error);
  EXPECT_THROW(ops::linear(zeros({2, 5}), w, zeros({5})), Error);
  EXPECT_THROW(ops::linear(zeros({2, 5}), w, {}, Activation::none, zeros({2, 5})), Error);
  EXPECT_THROW(ops::linear(zeros({2, 5}, DType::f64), w), Error);
  EXPECT_THROW(ops::linear(scalar(1), w), Error);
}

}  // namespace
}  // namespace fovea
