#include "fovea/ops/activation.h"

#include <gtest/gtest.h>

#include <cmath>

#include "fovea/autograd/backward.h"
#include "fovea/tensor/factory.h"
#include "fovea/tensor/reduce.h"
#include "fovea/testing/gradcheck.h"

namespace fovea {
namespace {

TEST(ActivationTest, MatchesNumericGradients) {
  for (Activation kind : {Activation::none, Activation::relu, Activation::gelu, Activation::gelu_tanh,
                          Activation::quick_gelu, Activation::silu}) {
    const auto result = testing::check_op([&](std::span<const Var> in) { return ops::activate(in[0], kind); },
                                          testing::normal_inputs({{5, 37}}, 3), {.step = 1e-4});
    EXPECT_TRUE(result.passed) << static_cast<int>(kind) << ": " << result.message;
  }
}

// torch 2.13, f64: F.gelu, F.gelu(approximate="tanh"), x * sigmoid(1.702 x), F.silu, F.relu.
TEST(ActivationTest, EqualsPyTorch) {
  const Tensor x = from_values<double>({5}, {-3, -0.5, 0, 0.7, 2.5});
  const auto expect = [](const Var& y, std::initializer_list<double> values) {
    EXPECT_LT(max_abs_difference(y.value(), from_values<double>({5}, values)), 1e-12);
  };
  expect(ops::relu(x), {0, 0, 0, 0.7, 2.5});
  expect(ops::gelu(x), {-0.00404969409489031, -0.15426876936299344, 0.0, 0.5306254434438489, 2.4844758366855597});
  expect(ops::gelu_tanh(x), {-0.0036373920817729943, -0.15428599017485606, 0.0, 0.5305701347051167, 2.484915733910001});
  expect(ops::quick_gelu(x), {-0.01807130970778597, -0.1496115633936199, 0.0, 0.5368939517231501, 2.46501383495143});
  expect(ops::silu(x), {-0.14227761953270035, -0.1887703343990727, 0.0, 0.46773144051771626, 2.3103545499468914});
}

TEST(ActivationTest, ReluKeepsNaNAndHasNoGradientAtItsCorner) {
  testing::for_each_isa([](const std::string& isa) {
    const Var x(from_values<float>({4}, {std::nanf(""), 0, -1, 2}), true);
    const Var y = ops::relu(x);
    EXPECT_TRUE(std::isnan(y.value().at(0))) << isa;
    backward(y, ones({4}));
    EXPECT_EQ(x.grad().at(1), 0) << isa;
    EXPECT_EQ(x.grad().at(3), 1) << isa;
  });
}

}  // namespace
}  // namespace fovea
