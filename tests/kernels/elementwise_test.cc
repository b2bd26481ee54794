#include "fovea/kernels/elementwise.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "fovea/core/rng.h"
#include "fovea/kernels/elementwise_reference.h"
#include "fovea/testing/gradcheck.h"
#include "special_numbers.h"

namespace fovea {
namespace {

using kernels::Binary;
using kernels::Broadcast;
using kernels::Unary;

constexpr float guard = 12345;  // written behind every result; kernels must leave it alone

std::vector<float> numbers(std::int64_t n, std::uint64_t seed, bool positive = false) {
  Rng rng(seed);
  std::vector<float> out;
  for (std::int64_t i = 0; i < n; ++i) {
    const double value = 2 * rng.normal();
    out.push_back(static_cast<float>(positive ? 0.1 + std::abs(value) : value));
  }
  return out;
}

std::vector<double> widened(const std::vector<float>& x) { return {x.begin(), x.end()}; }

// Largest difference relative to the largest expected value; NaN and a damaged guard count as failures.
void expect_close(const std::vector<float>& actual, const std::vector<double>& expected, const std::string& what) {
  double scale = 1e-6, error = 0;
  for (std::size_t i = 0; i + 1 < actual.size(); ++i) {
    scale = std::max(scale, std::abs(expected[i]));
    const double difference = std::abs(static_cast<double>(actual[i]) - expected[i]);
    if (difference > error || std::isnan(difference)) error = difference;
  }
  EXPECT_LE(error / scale, 1e-6) << what;
  EXPECT_EQ(actual.back(), guard) << what;
}

const Unary all_unary[] = {Unary::exp,  Unary::log,     Unary::sqrt,     Unary::square,     Unary::reciprocal,
                           Unary::tanh, Unary::sigmoid, Unary::softplus, Unary::log_sigmoid};

TEST(ElementwiseKernelTest, UnaryEqualsTheReferenceAtEveryTail) {
  testing::for_each_isa([](const std::string& isa) {
    for (Unary kind : all_unary) {
      const bool positive = kind == Unary::log || kind == Unary::sqrt || kind == Unary::reciprocal;
      for (std::int64_t n = 0; n <= 34; ++n) {
        const std::vector<float> x = numbers(n, 1, positive), dy = numbers(n, 2);
        const std::vector<double> wide_x = widened(x), wide_dy = widened(dy);
        std::vector<float> y(x.size() + 1, guard), dx = numbers(n, 3);
        std::vector<double> wide_y(x.size()), wide_dx = widened(dx);
        dx.push_back(guard);
        const std::string what =
            isa + " function " + std::to_string(static_cast<int>(kind)) + " n " + std::to_string(n);
        kernels::unary_f32(kind, x.data(), n, y.data());
        kernels::unary_reference(kind, wide_x.data(), n, wide_y.data());
        expect_close(y, wide_y, what);
        const bool from_y = kernels::grad_reads_result(kind);
        kernels::unary_grad_f32(kind, from_y ? y.data() : x.data(), dy.data(), n, dx.data(), n % 2);
        kernels::unary_grad_reference(kind, from_y ? wide_y.data() : wide_x.data(), wide_dy.data(), n, wide_dx.data(),
                                      n % 2);
        expect_close(dx, wide_dx, what + " gradient");
      }
    }
  });
}

TEST(ElementwiseKernelTest, UnaryOfSpecialNumbersEqualsTheReference) {
  testing::for_each_isa([](const std::string& isa) {
    for (Unary kind : all_unary) {
      for (float special : special_numbers) {
        const std::string what = isa + " function " + std::to_string(static_cast<int>(kind));
        const std::vector<float> x(special_count, special), dy(special_count, 1);
        std::vector<float> y(special_count), dx(special_count);
        kernels::unary_f32(kind, x.data(), special_count, y.data());
        expect_all(y, kernels::unary_reference(kind, static_cast<double>(special)), what, special);
        const std::vector<float>& saved = kernels::grad_reads_result(kind) ? y : x;
        kernels::unary_grad_f32(kind, saved.data(), dy.data(), special_count, dx.data(), false);
        const double slope = kernels::unary_grad_reference(kind, static_cast<double>(saved[0]));
        expect_all(dx, slope, what + " gradient", special);
      }
    }
  });
}

TEST(ElementwiseKernelTest, UnaryInPlaceEqualsUnaryAcrossChunks) {
  const std::int64_t n = 40000;
  std::vector<float> x = numbers(n, 1), y(x.size());
  kernels::unary_f32(Unary::sigmoid, x.data(), n, y.data());
  kernels::unary_f32(Unary::sigmoid, x.data(), n, x.data());
  EXPECT_EQ(x, y);
}

TEST(ElementwiseKernelTest, AffineEqualsItsFormula) {
  testing::for_each_isa([](const std::string& isa) {
    for (std::int64_t n = 0; n <= 34; ++n) {
      for (bool accumulate : {false, true}) {
        const std::vector<float> x = numbers(n, 1);
        std::vector<float> y = numbers(n, 2);
        std::vector<double> expected;
        for (std::size_t i = 0; i < x.size(); ++i) {
          expected.push_back((accumulate ? static_cast<double>(y[i]) : 0) + 1.5 * static_cast<double>(x[i]) - 0.25);
        }
        y.push_back(guard);
        kernels::affine_f32(x.data(), n, 1.5, -0.25, y.data(), accumulate);
        expect_close(y, expected, isa);
      }
    }
  });
}

// Rows of `length`, with each operand either dense, repeated along the rows, repeated inside a row, or both.
TEST(ElementwiseKernelTest, BinaryEqualsTheReferenceInEveryLayoutAtEveryTail) {
  constexpr std::int64_t rows = 3;
  testing::for_each_isa([](const std::string& isa) {
    for (Binary kind : {Binary::add, Binary::sub, Binary::mul, Binary::div, Binary::equal}) {
      for (std::int64_t length = 1; length <= 33; ++length) {
        for (int layout = 0; layout < 16; ++layout) {
          Broadcast plan{.rank = 2, .axes = {}};
          plan.axes[0] = {rows, layout & 1 ? 0 : length, layout & 2 ? 0 : length};
          plan.axes[1] = {length, layout & 4 ? 0 : 1, layout & 8 ? 0 : 1};
          const std::vector<float> a = numbers(rows * length, 1), b = numbers(rows * length, 2, true);
          std::vector<float> y = numbers(rows * length, 3);
          const std::vector<double> wide_a = widened(a), wide_b = widened(b);
          std::vector<double> wide_y = widened(y);
          y.push_back(guard);
          kernels::binary_f32(kind, plan, a.data(), b.data(), y.data(), length % 2);
          kernels::binary_reference(kind, plan, wide_a.data(), wide_b.data(), wide_y.data(), length % 2);
          expect_close(y, wide_y, isa + " layout " + std::to_string(layout) + " length " + std::to_string(length));
        }
      }
    }
  });
}

TEST(ElementwiseKernelTest, LongRowsAreCutIntoRunsThatCoverThem) {
  const std::int64_t rows = 3, length = 40001;
  Broadcast plan{.rank = 2, .axes = {}};
  plan.axes[0] = {rows, length, 0};
  plan.axes[1] = {length, 1, 1};
  const std::vector<float> a = numbers(rows * length, 1), b = numbers(length, 2);
  std::vector<float> y(a.size());
  kernels::binary_f32(Binary::add, plan, a.data(), b.data(), y.data(), false);
  for (std::size_t i = 0; i < y.size(); ++i) ASSERT_EQ(y[i], a[i] + b[i % static_cast<std::size_t>(length)]) << i;
}

}  // namespace
}  // namespace fovea
