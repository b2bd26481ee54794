// Scaling to unit length against numeric gradients, PyTorch's numbers, and at zero.
#include "fovea/ops/normalize.h"

#include <gtest/gtest.h>

#include "accumulation.h"

namespace fovea {
namespace {

constexpr auto unit = [](std::span<const Var> in) { return ops::l2_normalize(in[0]); };

TEST(Normalize, MatchesNumericGradients) {
  for (const Shape& shape : {Shape{5}, Shape{3, 7}, Shape{2, 3, 16}, Shape{70, 3}, Shape{2, 130}}) {
    const auto result = testing::check_op(unit, testing::normal_inputs({shape}));
    EXPECT_TRUE(result) << to_string(shape) << ": " << result.message;
  }
}

TEST(Normalize, MatchesNumericGradientsAtEveryTail) {
  for (std::int64_t d = 2; d <= 33; ++d) {
    const std::vector<Tensor> inputs = testing::normal_inputs({{3, d}});
    const auto result = testing::check_op(unit, inputs, {.step = 1e-4});
    EXPECT_TRUE(result) << d << ": " << result.message;
    EXPECT_EQ(testing::accumulation_failure(unit, inputs), "") << d;
  }
}

TEST(Normalize, ShortRowsAreDividedByEps) {
  const auto f = [](std::span<const Var> in) { return ops::l2_normalize(in[0], 100); };
  const auto result = testing::check_op(f, testing::normal_inputs({{3, 5}}));
  EXPECT_TRUE(result) << result.message;
}

// torch.nn.functional.normalize([[3, 4, 12], [0, 0, 0]]) with dy = [[1, 2, 3], [4, 5, 6]]
TEST(Normalize, MatchesPyTorch) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    const Var x(from_values<double>({2, 3}, {3, 4, 12, 0, 0, 0}).to(dtype), true);
    const Var y = ops::l2_normalize(x);
    backward(y, from_values<double>({2, 3}, {1, 2, 3, 4, 5, 6}).to(dtype));
    const Tensor value = from_values<double>({2, 3}, {0.230769230769, 0.307692307692, 0.923076923077, 0, 0, 0});
    const Tensor gradient =
        from_values<double>({2, 3}, {0.012744651798, 0.068274920346, -0.025944469731, 4e12, 5e12, 6e12});
    EXPECT_LT(max_abs_difference(y.value(), value), 1e-7);
    for (std::int64_t i = 0; i < 6; ++i) EXPECT_NEAR(x.grad().at(i) / gradient.at(i), 1, 1e-5) << i;
  }
}

TEST(Normalize, EmptyInput) {
  const Var x(Tensor({0, 4}), true);
  backward(ops::l2_normalize(x), Tensor({0, 4}));
  EXPECT_EQ(x.grad().shape(), (Shape{0, 4}));
  EXPECT_EQ(ops::l2_normalize(Tensor({2, 0})).shape(), (Shape{2, 0}));
  EXPECT_THROW(ops::l2_normalize(scalar(1)), Error);
}

}  // namespace
}  // namespace fovea
