#include "fovea/tensor/reduce.h"

#include <gtest/gtest.h>

#include <cmath>

#include "fovea/tensor/factory.h"

namespace fovea {
namespace {

TEST(TensorReduceTest, ANaNIsKeptWhereverItStands) {
  for (std::int64_t at : {0, 1, 2}) {
    Tensor x = from_values<float>({3}, {1, -2, 1});
    x.mutable_data<float>()[at] = std::nanf("");
    EXPECT_TRUE(std::isnan(max_abs(x))) << at;
    EXPECT_TRUE(std::isnan(max_abs_difference(x, ones({3})))) << at;
    EXPECT_FALSE(all_finite(x)) << at;
  }
}

TEST(TensorReduceTest, LargestValueAndDifference) {
  const Tensor x = from_values<float>({3}, {1, -4, 2});
  EXPECT_EQ(max_abs(x), 4);
  EXPECT_EQ(max_abs_difference(x, ones({3})), 5);
  EXPECT_EQ(max_abs(Tensor({0})), 0);
}

}  // namespace
}  // namespace fovea
