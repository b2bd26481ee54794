#include "fovea/ops/elementwise.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "fovea/autograd/backward.h"
#include "fovea/tensor/factory.h"
#include "fovea/tensor/reduce.h"
#include "fovea/testing/gradcheck.h"

namespace fovea {
namespace {

using testing::check_op;
using testing::normal_inputs;

// Standard normal numbers pushed to [0.2, ...): arguments of log, sqrt and divisors.
std::vector<Tensor> positive_inputs(std::initializer_list<Shape> shapes) {
  std::vector<Tensor> inputs = normal_inputs(shapes);
  for (Tensor& x : inputs) {
    double* p = x.mutable_data<double>();
    for (std::int64_t i = 0; i < x.numel(); ++i) p[i] = 0.2 + std::abs(p[i]);
  }
  return inputs;
}

TEST(ElementwiseTest, UnaryFunctionsMatchNumericGradients) {
  const struct {
    const char* name;
    Var (*f)(const Var&);
  } functions[] = {{"exp", ops::exp},           {"log", ops::log},
                   {"sqrt", ops::sqrt},         {"square", ops::square},
                   {"tanh", ops::tanh},         {"reciprocal", ops::reciprocal},
                   {"sigmoid", ops::sigmoid},   {"neg", ops::neg},
                   {"softplus", ops::softplus}, {"log_sigmoid", ops::log_sigmoid}};
  for (const auto& function : functions) {
    const bool signs = function.f != ops::log && function.f != ops::sqrt && function.f != ops::reciprocal;
    const auto inputs = signs ? normal_inputs({{5, 7}}) : positive_inputs({{5, 7}});
    const auto result = check_op([&](std::span<const Var> in) { return function.f(in[0]); }, inputs, {.step = 1e-4});
    EXPECT_TRUE(result.passed) << function.name << ": " << result.message;
  }
}

const std::pair<Shape, Shape> broadcast_cases[] = {
    {{3, 7}, {3, 7}},
    {{3, 7}, {7}},
    {{7}, {3, 7}},
    {{3, 7}, {3, 1}},
    {{3, 1}, {1, 7}},
    {{3, 7}, {}},
    {{}, {3, 7}},
    {{1}, {}},
    {{}, {}},
    {{2, 3, 5}, {3, 1}},
    {{2, 1, 5}, {3, 1}},
    {{2, 3, 5}, {2, 1, 5}},
    {{2, 2, 17}, {17}},
    {{1, 1, 3}, {2, 4, 1}},
    {{4, 1, 3, 1}, {2, 1, 5}},
};

TEST(ElementwiseTest, BinaryFunctionsMatchNumericGradientsInEveryBroadcast) {
  Var (*const functions[])(const Var&, const Var&) = {ops::add, ops::sub, ops::mul, ops::div};
  for (const auto& [a, b] : broadcast_cases) {
    for (std::size_t f = 0; f < 4; ++f) {
      const auto inputs = f == 3 ? positive_inputs({a, b}) : normal_inputs({a, b});
      const auto result =
          check_op([&](std::span<const Var> in) { return functions[f](in[0], in[1]); }, inputs, {.step = 1e-4});
      EXPECT_TRUE(result.passed) << to_string(a) << " with " << to_string(b) << ", function " << f << ": "
                                 << result.message;
    }
  }
}

// The element of an operand that NumPy's rule puts at coordinate `index` of the result.
double element_at(const Tensor& operand, const std::vector<std::int64_t>& index) {
  std::int64_t at = 0;
  for (int axis = 0; axis < operand.rank(); ++axis) {
    const std::int64_t i = index[index.size() - static_cast<std::size_t>(operand.rank() - axis)];
    at = at * operand.dim(axis) + (operand.dim(axis) == 1 ? 0 : i);
  }
  return operand.at(at);
}

TEST(ElementwiseTest, ValuesFollowNumPyInEveryBroadcast) {
  for (const auto& [shape_a, shape_b] : broadcast_cases) {
    const auto inputs = positive_inputs({shape_a, shape_b});
    const Tensor &a = inputs[0], &b = inputs[1];
    const Tensor added = ops::add(a, b).value(), divided = ops::div(a, b).value();
    const Shape shape = broadcast_shapes(shape_a, shape_b, "test");
    ASSERT_EQ(added.shape(), shape);
    for (std::int64_t i = 0; i < shape.numel(); ++i) {
      std::vector<std::int64_t> index;
      for (int axis = 0; axis < shape.rank(); ++axis) index.push_back(i / shape.inner(axis) % shape[axis]);
      EXPECT_EQ(added.at(i), element_at(a, index) + element_at(b, index));
      EXPECT_EQ(divided.at(i), element_at(a, index) / element_at(b, index));
    }
  }
}

TEST(ElementwiseTest, OperatorsWithNumbersMatchNumericGradients) {
  const auto result = check_op(
      [](std::span<const Var> in) {
        const Var& x = in[0];
        return (x + 2) * (3 - x) + 1.5 / (x * x + 1) - (2 * x - 1) / 4 + (1 + -x) + (x - in[1]) / in[1];
      },
      positive_inputs({{4, 5}, {5}}), {.step = 1e-4});
  EXPECT_TRUE(result.passed) << result.message;
}

TEST(ElementwiseTest, TheSameValueMayBeBothOperands) {
  Var (*const functions[])(const Var&, const Var&) = {ops::add, ops::sub, ops::mul, ops::div};
  for (const auto f : functions) {
    const auto result =
        check_op([&](std::span<const Var> in) { return f(in[0], in[0]) + in[0]; }, positive_inputs({{3, 5}}));
    EXPECT_TRUE(result.passed) << result.message;
  }
}

TEST(ElementwiseTest, EndsOfTheRange) {
  const float infinity = std::numeric_limits<float>::infinity();
  const Tensor x = from_values<float>({6}, {-1000, -1, 0, 1, 1000, std::nanf("")});
  testing::for_each_isa([&](const std::string& isa) {
    const auto expect = [&](const char* name, const Var& y, std::initializer_list<float> expected) {
      std::int64_t i = 0;
      for (float e : expected) {
        const double value = y.value().at(i++);
        if (std::isnan(e)) {
          EXPECT_TRUE(std::isnan(value)) << isa << " " << name << " at " << i;
        } else {
          EXPECT_FLOAT_EQ(static_cast<float>(value), e) << isa << " " << name << " at " << i;
        }
      }
    };
    const float nan = std::nanf("");
    expect("exp", ops::exp(x), {0, std::exp(-1.0f), 1, std::exp(1.0f), infinity, nan});
    expect("log", ops::log(x), {nan, nan, -infinity, 0, std::log(1000.0f), nan});
    expect("tanh", ops::tanh(x), {-1, std::tanh(-1.0f), 0, std::tanh(1.0f), 1, nan});
    expect("softplus", ops::softplus(x), {0, 0.31326169f, 0.69314718f, 1.3132617f, 1000, nan});
    expect("log_sigmoid", ops::log_sigmoid(x), {-1000, -1.3132617f, -0.69314718f, -0.31326169f, 0, nan});
  });
}

TEST(ElementwiseTest, EmptyTensorsPassThrough) {
  const Var x(zeros({0, 3}), true), row(ones({3}), true);
  const Var y = ops::exp(x) * row + 1;
  EXPECT_EQ(y.shape(), (Shape{0, 3}));
  backward(y, zeros({0, 3}));
  EXPECT_EQ(max_abs(row.grad()), 0);
}

TEST(ElementwiseTest, ErrorsNameBothSides) {
  const auto message = [](auto&& f) -> std::string {
    try {
      f();
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_EQ(message([] { ops::add(zeros({2, 3}), zeros({2})); }), "[add] shapes (2, 3) and (2,) do not broadcast");
  EXPECT_EQ(message([] { ops::mul(zeros({2}), zeros({2}, DType::f64)); }),
            "[mul] operands are f32 and f64\nhint: convert one of them with Tensor::to");
  EXPECT_EQ(message([] { ops::exp(zeros({2}, DType::i64)); }), "[exp] expects f32 or f64, got i64");
}

}  // namespace
}  // namespace fovea
