#include "fovea/nn/init.h"

#include <gtest/gtest.h>

#include "fovea/tensor/reduce.h"

namespace fovea::nn {
namespace {

struct Moments {
  double mean = 0, stddev = 0, largest = 0;
  explicit Moments(const Tensor& x) {
    const auto n = static_cast<double>(x.numel());
    mean = sum(x) / n;
    for (std::int64_t i = 0; i < x.numel(); ++i) stddev += (x.at(i) - mean) * (x.at(i) - mean) / n;
    stddev = std::sqrt(stddev);
    largest = max_abs(x);
  }
};

TEST(Init, NormalHasItsDeviation) {
  Init init(1);
  const Moments m(init.normal({200, 500}, 0.02));
  EXPECT_NEAR(m.mean, 0, 3e-4);
  EXPECT_NEAR(m.stddev, 0.02, 2e-4);
  EXPECT_GT(m.largest, 0.07);  // 3.5 deviations: not uniform, not truncated early
}

// torch.nn.init.kaiming_uniform_(a=sqrt(5)): bound 1/sqrt(fan_in).
TEST(Init, LinearDefaultIsUniformWithinOneOverRootFanIn) {
  Init init(1);
  for (const Shape& shape : {Shape{300, 400}, Shape{100, 5, 4, 20}}) {
    const double bound = 1 / std::sqrt(400.0);
    const Moments m(init.linear_default(shape));
    EXPECT_NEAR(m.mean, 0, 5e-4);
    EXPECT_NEAR(m.stddev, bound / std::sqrt(3.0), 5e-4);
    EXPECT_LE(m.largest, bound);
    EXPECT_GT(m.largest, 0.99 * bound);
  }
}

// torch.nn.init.xavier_uniform_ of (150, 50): bound sqrt(6/200).
TEST(Init, XavierUniformCountsBothFans) {
  Init init(1);
  const Moments m(init.xavier_uniform({150, 50}));
  EXPECT_LE(m.largest, std::sqrt(0.03));
  EXPECT_GT(m.largest, 0.99 * std::sqrt(0.03));
}

// torch.nn.init.kaiming_normal_(mode="fan_out", nonlinearity="relu") of a (64, 32, 3, 3) filter: sqrt(2 / (64 * 9)).
TEST(Init, HeFanOutCountsOutputsAndFilter) {
  Init init(1);
  EXPECT_NEAR(Moments(init.he_fan_out({64, 3, 3, 32})).stddev, std::sqrt(2.0 / 576), 1e-3);
}

TEST(Init, DependsOnTheSeedAlone) {
  Init a(7), b(7), c(8);
  const Tensor first = a.normal({50}, 1);
  EXPECT_EQ(max_abs_difference(first, b.normal({50}, 1)), 0);
  EXPECT_GT(max_abs_difference(first, c.normal({50}, 1)), 0);
  EXPECT_GT(max_abs_difference(first, a.normal({50}, 1)), 0);  // every tensor draws its own numbers
}

TEST(Init, TypesAgreeOnTheNumbers) {
  Init narrow(7), wide(7, DType::f64);
  EXPECT_LT(max_abs_difference(narrow.normal({50}, 1), wide.normal({50}, 1)), 1e-6);
}

TEST(Init, NoneStillSetsConstants) {
  Init init = Init::none(DType::f64);
  EXPECT_EQ(init.constant({3}, 4).at(2), 4);
  EXPECT_EQ(init.normal({3}, 1).dtype(), DType::f64);
}

}  // namespace
}  // namespace fovea::nn
