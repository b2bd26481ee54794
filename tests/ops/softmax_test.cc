#include "fovea/ops/softmax.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "fovea/core/parallel.h"
#include "fovea/tensor/factory.h"
#include "fovea/tensor/reduce.h"
#include "fovea/testing/gradcheck.h"

namespace fovea {
namespace {

void check_along(const Shape& shape, int axis) {
  const auto soft = testing::check_op([axis](std::span<const Var> in) { return ops::softmax(in[0], axis); },
                                      testing::normal_inputs({shape}));
  EXPECT_TRUE(soft.passed) << to_string(shape) << " axis " << axis << " softmax: " << soft.message;
  const auto log = testing::check_op([axis](std::span<const Var> in) { return ops::log_softmax(in[0], axis); },
                                     testing::normal_inputs({shape}));
  EXPECT_TRUE(log.passed) << to_string(shape) << " axis " << axis << " log_softmax: " << log.message;
}

TEST(SoftmaxOp, MatchesNumericGradientsForEveryTailLength) {
  for (std::int64_t n = 1; n <= 33; ++n) check_along({3, n}, -1);
  check_along({2, 3, 5}, 2);
  check_along({7}, 0);
}

TEST(SoftmaxOp, WorksAlongAnyAxis) {
  check_along({4, 3, 5}, 0);
  check_along({4, 3, 5}, 1);
  check_along({4, 3, 5}, -2);
}

TEST(SoftmaxOp, GivesTheValuesOfTheFormula) {
  const Tensor x = from_values<float>({2, 3}, {0, 1, 2, 5, 5, 5});
  const Tensor y = ops::softmax(x).value(), log = ops::log_softmax(x).value();
  const double total = 1 + std::exp(1.0) + std::exp(2.0);
  for (int j = 0; j < 3; ++j) {
    EXPECT_NEAR(y.at(j), std::exp(j) / total, 1e-7);
    EXPECT_NEAR(log.at(j), j - std::log(total), 1e-6);
    EXPECT_NEAR(y.at(3 + j), 1.0 / 3, 1e-7);
  }
  const Tensor first = ops::softmax(x, 0).value();
  EXPECT_NEAR(first.at(2), 1 / (1 + std::exp(3.0)), 1e-7);
}

TEST(SoftmaxOp, KeepsLongRowsAccurate) {
  const Tensor x = random_normal({2, 50001}, RngKey{3}, 0, 3, DType::f64);
  const auto result = testing::compare_precisions([](std::span<const Var> in) { return ops::log_softmax(in[0]); },
                                                  std::vector<Tensor>{x}, {.tolerance = 3e-6});
  EXPECT_TRUE(result.passed) << result.message;
}

TEST(SoftmaxOp, SurvivesLargeAndInfiniteScores) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  const Tensor x = from_values<float>({2, 3}, {3e38f, -3e38f, 0, -infinity, 2, 2});
  testing::for_each_isa([&](const std::string& isa) {
    const Tensor y = ops::softmax(x).value();
    EXPECT_EQ(max_abs_difference(y, from_values<float>({2, 3}, {1, 0, 0, 0, 0.5f, 0.5f})), 0) << isa;
  });
}

TEST(SoftmaxOp, PassesNanOn) {
  for (int place : {0, 9, 17, 36}) {
    Tensor x = full({1, 37}, 1);
    x.mutable_data<float>()[place] = std::numeric_limits<float>::quiet_NaN();
    testing::for_each_isa([&](const std::string& isa) {
      EXPECT_TRUE(std::isnan(ops::softmax(x).value().at(5))) << isa << " " << place;
      EXPECT_TRUE(std::isnan(ops::log_softmax(x).value().at(5))) << isa << " " << place;
    });
  }
}

TEST(SoftmaxOp, GivesTheSameBitsForAnyThreadCount) {
  const Tensor x = random_normal({37, 1003}, RngKey{4});
  const int threads = num_threads();
  set_num_threads(1);
  const Tensor one = ops::softmax(x).value();
  set_num_threads(3);
  const Tensor three = ops::softmax(x).value();
  set_num_threads(threads);
  EXPECT_EQ(count_different_bits(one, three), 0);
}

TEST(SoftmaxOp, TakesEmptyTensors) {
  for (const Shape& shape : {Shape{0, 5}, Shape{5, 0}}) {
    EXPECT_EQ(ops::softmax(Tensor(shape)).shape(), shape);
    EXPECT_EQ(ops::log_softmax(Tensor(shape, DType::f64), 0).shape(), shape);
  }
}

TEST(SoftmaxOp, NamesAWrongAxis) {
  const auto message = [](auto&& f) -> std::string {
    try {
      f();
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_EQ(message([] { ops::softmax(Tensor({2, 3}), 2); }), "[softmax] axis 2 is out of range for (2, 3)");
  EXPECT_EQ(message([] { ops::log_softmax(Tensor(Shape{})); }), "[log_softmax] a scalar has no axis");
  EXPECT_EQ(message([] { ops::softmax(Tensor({2}, DType::i64)); }), "[softmax] expects f32 or f64, got i64");
}

}  // namespace
}  // namespace fovea
