#include "fovea/ops/conv.h"

#include <gtest/gtest.h>

#include "fovea/tensor/factory.h"
#include "fovea/testing/gradcheck.h"

namespace fovea {
namespace {

using testing::check_op;
using testing::normal_inputs;

void expect_gradients(const Shape& x, const Shape& w, const ops::Conv2dOptions& options) {
  const auto f = [&](std::span<const Var> in) { return ops::conv2d(in[0], in[1], in[2], options); };
  const auto result = check_op(f, normal_inputs({x, w, {w[0]}}));
  EXPECT_TRUE(result) << to_string(x) << " " << to_string(w) << ": " << result.message;
}

TEST(Conv2d, GradientsOverStridesPaddingsAndGroups) {
  expect_gradients({2, 5, 4, 3}, {4, 3, 3, 3}, {});
  expect_gradients({1, 6, 5, 3}, {2, 3, 2, 3}, {.stride = 2, .padding = 1});
  expect_gradients({2, 5, 5, 4}, {6, 3, 3, 2}, {.stride = 1, .padding = 1, .groups = 2});
  expect_gradients({1, 5, 6, 5}, {5, 3, 3, 1}, {.stride = 2, .padding = 1, .groups = 5});
  expect_gradients({1, 8, 8, 3}, {5, 4, 4, 3}, {.stride = 4});
  expect_gradients({1, 5, 5, 2}, {3, 1, 1, 2}, {.stride = 3});
  expect_gradients({1, 6, 4, 3}, {2, 3, 3, 3}, {.stride = 2, .end_padding = 1});
  expect_gradients({1, 6, 5, 4}, {4, 5, 5, 1}, {.stride = 2, .padding = 1, .groups = 4, .end_padding = 1});
}

// From torch.nn.functional.conv2d(arange(9).view(1,1,3,3), arange(4).view(1,1,2,2), stride=1, padding=1).
TEST(Conv2d, ValueIsThatOfPyTorch) {
  const Var x = arange(9, DType::f32).reshape({1, 3, 3, 1}), w = arange(4, DType::f32).reshape({1, 2, 2, 1});
  const Tensor y = ops::conv2d(x, w, {}, {.stride = 1, .padding = 1}).value();
  const std::vector<double> expected{0, 3, 8, 4, 9, 19, 25, 10, 21, 37, 43, 16, 6, 7, 8, 0};
  ASSERT_EQ(y.numel(), 16);
  for (std::int64_t i = 0; i < 16; ++i) EXPECT_EQ(y.at(i), expected[static_cast<std::size_t>(i)]) << i;
}

TEST(Conv2d, ShapesThatDoNotFitAreErrors) {
  const Var x = zeros({1, 4, 4, 3});
  EXPECT_THROW(ops::conv2d(x, zeros({2, 3, 3, 4})), Error);
  EXPECT_THROW(ops::conv2d(x, zeros({2, 5, 5, 3})), Error);
  EXPECT_THROW(ops::conv2d(x, zeros({2, 3, 3, 3}), zeros({3})), Error);
  EXPECT_THROW(ops::conv2d(x, zeros({2, 3, 3, 3}), {}, {.stride = 0}), Error);
  EXPECT_THROW(ops::conv2d(x, zeros({2, 3, 3, 1}), {}, {.groups = 2}), Error);
  EXPECT_THROW(ops::conv2d(zeros({4, 4, 3}), zeros({2, 3, 3, 3})), Error);
}

}  // namespace
}  // namespace fovea
