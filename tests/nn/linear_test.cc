#include "fovea/nn/linear.h"

#include <gtest/gtest.h>

#include "module_check.h"

namespace fovea::nn {
namespace {

TEST(Linear, GradientsOfInputWeightBiasAndResidual) {
  for (const bool with_bias : {true, false}) {
    Init init(1, DType::f64);
    Linear linear(5, 3, init, with_bias);
    const auto result =
        testing::check_module(linear, testing::normal_inputs({{4, 5}, {4, 3}}),
                              [&](std::span<const Var> in) { return linear(in[0], Ctx{}, Activation::gelu, in[1]); });
    EXPECT_TRUE(result) << with_bias << ": " << result.message;
  }
}

// The check itself must see a parameter whose gradient is lost.
TEST(Linear, CheckNoticesALostGradient) {
  Init init(1, DType::f64);
  Linear linear(5, 3, init);
  const auto result = testing::check_module(linear, testing::normal_inputs({{4, 5}}), [&](std::span<const Var> in) {
    return ops::linear(in[0], linear.weight().detach(), (*linear.bias)());
  });
  EXPECT_FALSE(result);
}

TEST(Linear, ComputesItsDocumentedFormula) {
  const Linear linear(from_values<double>({2, 3}, {1, 2, 3, -4, 5, -6}), from_values<double>({2}, {0.5, -1}));
  const Tensor x = from_values<double>({1, 3}, {1, 10, 100}), residual = from_values<double>({1, 2}, {1000, 2000});
  const Var y = linear(x, Ctx{}, Activation::relu, residual);
  EXPECT_DOUBLE_EQ(y.value().at(0), 1000 + 321.5);
  EXPECT_DOUBLE_EQ(y.value().at(1), 2000);  // relu(-4 + 50 - 600 - 1) = 0
}

TEST(Linear, WithoutBiasHasOneParameter) {
  Init init(1);
  const Linear linear(5, 3, init, false);
  const auto entries = collect(linear);
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_EQ(entries[0].path, "weight");
  EXPECT_TRUE(entries[0].leaf->decay);
}

TEST(Linear, BiasesAreNotDecayed) {
  Init init(1);
  const Linear linear(5, 3, init);
  EXPECT_FALSE(linear.bias->leaf()->decay);
}

TEST(Linear, RefusesInputsOfAnotherWidth) {
  Init init(1);
  const Linear linear(5, 3, init);
  EXPECT_THROW(linear(zeros({2, 4}), Ctx{}), Error);
}

}  // namespace
}  // namespace fovea::nn
