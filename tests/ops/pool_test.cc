// Pooling against numeric gradients, PyTorch's numbers, and its own errors.
#include "fovea/ops/pool.h"

#include <gtest/gtest.h>

#include <limits>

#include "../support/error_of.h"
#include "accumulation.h"

namespace fovea {
namespace {

using testing::normal_inputs;

void expect_op(testing::VarFunction f, const Shape& shape) {
  const std::vector<Tensor> inputs = normal_inputs({shape});
  const auto result = testing::check_op(f, inputs, {.step = 1e-5});  // small: maxima change where elements meet
  EXPECT_TRUE(result) << to_string(shape) << ": " << result.message;
  EXPECT_EQ(testing::accumulation_failure(f, inputs), "") << to_string(shape);
}

TEST(Pool, MaxMatchesNumericGradients) {
  struct Case {
    Shape x;
    std::int64_t kernel, stride, padding;
  };
  for (const Case& c : {Case{{2, 5, 6, 3}, 3, 2, 1}, Case{{1, 4, 4, 16}, 2, 2, 0}, Case{{1, 7, 5, 2}, 3, 1, 1},
                        Case{{1, 6, 5, 1}, 2, 3, 1}, Case{{1, 3, 3, 4}, 1, 2, 0}, Case{{2, 4, 4, 5}, 4, 4, 2}}) {
    expect_op([&](std::span<const Var> in) { return ops::max_pool2d(in[0], c.kernel, c.stride, c.padding); }, c.x);
  }
}

TEST(Pool, AverageMatchesNumericGradients) {
  for (const Shape& shape : {Shape{2, 4, 6, 3}, Shape{1, 5, 5, 16}, Shape{3, 7, 3, 1}}) {
    expect_op([](std::span<const Var> in) { return ops::avg_pool2d(in[0], 2, 2); }, shape);
    expect_op([](std::span<const Var> in) { return ops::avg_pool2d(in[0], 3, 1); }, shape);
    expect_op([](std::span<const Var> in) { return ops::avg_pool2d(in[0], 2, 3); }, shape);
    expect_op([](std::span<const Var> in) { return ops::adaptive_avg_pool2d(in[0], 3, 2); }, shape);
    expect_op([](std::span<const Var> in) { return ops::adaptive_avg_pool2d(in[0], 8, 4); }, shape);
    expect_op([](std::span<const Var> in) { return ops::global_avg_pool2d(in[0]); }, shape);
  }
}

TEST(Pool, MatchesNumericGradientsAtEveryTail) {
  for (std::int64_t c = 1; c <= 33; ++c) {
    expect_op([](std::span<const Var> in) { return ops::max_pool2d(in[0], 2, 1, 1); }, {1, 2, 3, c});
    expect_op([](std::span<const Var> in) { return ops::adaptive_avg_pool2d(in[0], 2, 2); }, {1, 2, 3, c});
  }
}

void expect_near(const Tensor& actual, std::initializer_list<double> expected) {
  EXPECT_LT(max_abs_difference(actual, from_values<double>(actual.shape(), expected)), 1e-9);
}

// Element i is (7 i^2 + 3 i) mod 23, and element i of the output's gradient i + 1.
struct PyTorchCase {
  Var x;

  PyTorchCase() {
    std::vector<double> values;
    for (int i = 0; i < 40; ++i) values.push_back((7 * i * i + 3 * i) % 23);
    x = Var(from_values<double>({1, 5, 4, 2}, values), true);
  }
  void run(const Var& y, std::initializer_list<double> value, std::initializer_list<double> gradient) {
    std::vector<double> dy;
    for (std::int64_t i = 1; i <= y.value().numel(); ++i) dy.push_back(static_cast<double>(i));
    backward(y, from_values<double>(y.shape(), dy));
    expect_near(y.value(), value);
    expect_near(x.grad(), gradient);
  }
};

TEST(Pool, MaxMatchesPyTorch) {
  PyTorchCase c;
  c.run(ops::max_pool2d(c.x, 3, 2, 1), {17, 19, 17, 19, 22, 19, 22, 22, 19, 17, 19, 17},
        {0, 0, 0, 0, 0, 0, 3, 4, 0, 8,  1,  0, 0, 0,  0, 0, 0, 0, 12, 0,
         0, 8, 0, 0, 0, 0, 0, 0, 0, 12, 11, 0, 9, 10, 0, 0, 0, 0, 0,  0});
}

TEST(Pool, AverageMatchesPyTorch) {
  PyTorchCase c;
  c.run(ops::avg_pool2d(c.x, 2, 2), {10, 9.5, 11.5, 9.5, 8.75, 8, 9.25, 12.75},
        {0.25, 0.5, 0.25, 0.5, 0.75, 1,   0.75, 1,   0.25, 0.5, 0.25, 0.5, 0.75, 1, 0.75, 1, 1.25, 1.5, 1.25, 1.5,
         1.75, 2,   1.75, 2,   1.25, 1.5, 1.25, 1.5, 1.75, 2,   1.75, 2,   0,    0, 0,    0, 0,    0,   0,    0});
}

TEST(Pool, AdaptiveAverageMatchesPyTorch) {
  PyTorchCase c;
  const double a = 1.0 / 6, b = 1.0 / 3;
  c.run(ops::adaptive_avg_pool2d(c.x, 2, 3),
        {31 * b, 25 * b, 38 * b, 8, 29 * b, 10, 10, 29 * b, 8, 38 * b, 25 * b, 31 * b},
        {a,      2 * a,  4 * a,  6 * a,  8 * a,  10 * a, 5 * a,  6 * a,  a,      2 * a,  4 * a,  6 * a, 8 * a,  10 * a,
         5 * a,  6 * a,  8 * a,  10 * a, 20 * a, 24 * a, 28 * a, 32 * a, 16 * a, 18 * a, 7 * a,  8 * a, 16 * a, 18 * a,
         20 * a, 22 * a, 11 * a, 12 * a, 7 * a,  8 * a,  16 * a, 18 * a, 20 * a, 22 * a, 11 * a, 12 * a});
}

TEST(Pool, TheFirstOfEqualMaximaTakesTheGradient) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    const Var x(ones({1, 2, 2, 1}, dtype), true);
    backward(ops::max_pool2d(x, 2, 2), ones({1, 1, 1, 1}, dtype));
    for (std::int64_t i = 0; i < 4; ++i) EXPECT_EQ(x.grad().at(i), i == 0);
  }
}

TEST(Pool, MaximumOfNegativeNumbersIgnoresPadding) {
  testing::for_each_isa([](const std::string& isa) {
    EXPECT_EQ(ops::max_pool2d(full({1, 2, 2, 3}, -5), 3, 2, 1).value().at(0), -5) << isa;
  });
}

TEST(Pool, NotANumberWins) {
  for (std::int64_t place = 0; place < 4; ++place) {
    Tensor x = from_values<float>({1, 2, 2, 1}, {1, 2, 3, 4});
    x.mutable_data<float>()[place] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_TRUE(std::isnan(ops::max_pool2d(x, 2, 2).item())) << place;
    EXPECT_TRUE(std::isnan(ops::max_pool2d(x.to(DType::f64), 2, 2).item())) << place;
  }
}

TEST(Pool, LargeWindowsCountTheirElements) {
  Tensor x = zeros({1, 16, 16, 1});
  x.mutable_data<float>()[255] = 1;
  const Var in(x, true);
  backward(ops::max_pool2d(in, 16, 1), ones({1, 1, 1, 1}));
  EXPECT_EQ(in.grad().at(255), 1);
  EXPECT_EQ(in.grad().at(0), 0);
}

TEST(Pool, EmptyBatches) {
  const Var x(Tensor({0, 4, 4, 3}), true);
  const Var y = ops::max_pool2d(x, 3, 2, 1);
  EXPECT_EQ(y.shape(), (Shape{0, 2, 2, 3}));
  backward(y, Tensor(y.shape()));
  EXPECT_EQ(ops::global_avg_pool2d(x).shape(), (Shape{0, 3}));
  EXPECT_EQ(ops::avg_pool2d(Tensor({2, 4, 4, 0}), 2, 2).shape(), (Shape{2, 2, 2, 0}));
}

using tests::error_of;

TEST(Pool, ErrorsNameBothSides) {
  const Var x(Tensor({1, 4, 5, 2}));
  EXPECT_EQ(error_of([&] { ops::max_pool2d(x, 3, 2, 2); }),
            "[max_pool2d] padding 2 of a window of 3, expected 0 to half the window");
  EXPECT_EQ(error_of([&] { ops::avg_pool2d(x, 5, 1); }),
            "[avg_pool2d] window of 5 is larger than the image: (1, 4, 5, 2) with padding 0");
  EXPECT_EQ(error_of([&] { ops::avg_pool2d(x, 2, 0); }), "[avg_pool2d] kernel 2 and stride 0 must be at least 1");
  EXPECT_EQ(error_of([&] {
              ops::max_pool2d(Tensor({4, 5, 2}), 2, 2);
            }),
            "[max_pool2d] input is (4, 5, 2), expected (N, H, W, C) with pixels");
  EXPECT_EQ(error_of([&] { ops::max_pool2d(x, 17, 2); }), "[max_pool2d] window of 17, at most 16 is supported");
  EXPECT_NE(error_of([&] { ops::adaptive_avg_pool2d(x, 0, 2); }), "");
  EXPECT_NE(error_of([&] { ops::max_pool2d(Tensor({1, 0, 5, 2}), 2, 1, 1); }), "");
  EXPECT_NE(error_of([&] { ops::global_avg_pool2d(Tensor({1, 0, 5, 2})); }), "");
}

}  // namespace
}  // namespace fovea
