// What a tensor refuses: undefined handles, and extents beyond memory.
#include "fovea/tensor/tensor.h"

#include <gtest/gtest.h>

#include "fovea/tensor/factory.h"
#include "fovea/tensor/reduce.h"

namespace fovea {
namespace {

TEST(TensorTest, UndefinedOnesAreRefused) {
  const Tensor undefined;
  Tensor target;
  EXPECT_THROW(target.fill(1), Error);
  EXPECT_THROW(target.copy_from(scalar(1)), Error);
  EXPECT_THROW(scalar(1).copy_from(undefined), Error);
  EXPECT_THROW(undefined.to(DType::f64), Error);
  EXPECT_THROW(undefined.reshape({1}), Error);
  EXPECT_THROW(all_finite(undefined), Error);
  EXPECT_THROW(max_abs(undefined), Error);
  EXPECT_THROW(max_abs_difference(undefined, scalar(1)), Error);
  EXPECT_THROW(sum(undefined), Error);
  EXPECT_THROW(count_different_bits(undefined, undefined), Error);
}

TEST(TensorTest, ExtentsBeyondMemoryAreRefused) {
  constexpr std::int64_t huge = std::int64_t{1} << 40;
  EXPECT_THROW((Shape{huge, huge}.numel()), Error);
  EXPECT_THROW(Tensor({huge, huge}), Error);
  EXPECT_THROW(Tensor({std::int64_t{1} << 62}), Error);  // its bytes cannot be counted
  EXPECT_THROW(scalar(1).segment(1, {std::int64_t{1} << 62}), Error);
  Shape shape{2, 3};
  EXPECT_THROW(shape.set(0, -1), Error);
}

TEST(TensorTest, OverlappingViewsAreCopied) {
  Tensor x = from_values<float>({5}, {1, 2, 3, 4, 5});
  x.rows(1, 5).copy_from(x.rows(0, 4));
  EXPECT_EQ(max_abs_difference(x, from_values<float>({5}, {1, 1, 2, 3, 4})), 0);
}

}  // namespace
}  // namespace fovea
