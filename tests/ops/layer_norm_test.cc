// Layer normalisation against numeric gradients, PyTorch's numbers, and its own errors.
#include "fovea/ops/layer_norm.h"

#include <gtest/gtest.h>

#include "accumulation.h"

namespace fovea {
namespace {

using testing::check_op;
using testing::normal_inputs;

// A large eps: with a small one, rows of two elements are step functions, which no stencil differentiates.
constexpr auto normalised = [](std::span<const Var> in) { return ops::layer_norm(in[0], in[1], in[2], 0.1); };

TEST(LayerNorm, MatchesNumericGradients) {
  for (const Shape& shape : {Shape{1, 1}, Shape{3, 7}, Shape{5, 16}, Shape{2, 3, 33}, Shape{9}, Shape{70, 5}}) {
    const Shape width{shape[-1]};
    const auto result = check_op(normalised, normal_inputs({shape, width, width}));
    EXPECT_TRUE(result) << to_string(shape) << ": " << result.message;
  }
}

TEST(LayerNorm, MatchesNumericGradientsAtEveryTail) {
  for (std::int64_t d = 1; d <= 33; ++d) {
    const std::vector<Tensor> inputs = normal_inputs({{3, d}, {d}, {d}});
    const auto result = check_op(normalised, inputs);
    EXPECT_TRUE(result) << d << ": " << result.message;
    EXPECT_EQ(testing::accumulation_failure(normalised, inputs), "") << d;
  }
}

TEST(LayerNorm, WeightAndBiasMayBeLeftOut) {
  const auto plain =
      check_op([](std::span<const Var> in) { return ops::layer_norm(in[0], {}, {}, 1e-6); }, normal_inputs({{4, 19}}));
  EXPECT_TRUE(plain) << plain.message;
  const auto scaled = check_op([](std::span<const Var> in) { return ops::layer_norm(in[0], in[1], {}, 1e-6); },
                               normal_inputs({{4, 19}, {19}}));
  EXPECT_TRUE(scaled) << scaled.message;
}

// torch.nn.functional.layer_norm([[1,2,4],[-1,0,5]], weight=[1,2,3], bias=[.1,.2,.3]), and its gradients for dy = x.
TEST(LayerNorm, MatchesPyTorch) {
  const Var x(from_values<double>({2, 3}, {1, 2, 4, -1, 0, 5}), true), w(from_values<double>({3}, {1, 2, 3}), true),
      b(from_values<double>({3}, {.1, .2, .3}), true);
  const Var y = ops::layer_norm(x, w, b, 1e-5);
  backward(y, x.value().clone());
  const auto near = [](const Tensor& actual, std::initializer_list<double> expected) {
    EXPECT_LT(max_abs_difference(actual, from_values<double>(actual.shape(), expected)), 1e-11);
  };
  near(y.value(), {-0.96904153145, -0.334520765725, 4.308905742939, -0.789000243759, -0.816000278582, 4.491001149152});
  near(x.grad(), {0.229054802238, -0.343626873734, 0.114572071496, 0.307254568717, -0.368711824259, 0.061457255542});
  near(w.grad(), {-0.180041287691, -0.534520765725, 12.330209572504});
  near(b.grad(), {0, 2, 9});
}

TEST(LayerNorm, SameValueAsWeightAndBias) {
  const auto result = check_op([](std::span<const Var> in) { return ops::layer_norm(in[0], in[1], in[1], 1e-5); },
                               normal_inputs({{3, 5}, {5}}));
  EXPECT_TRUE(result) << result.message;
}

TEST(LayerNorm, EmptyInput) {
  const Var x(Tensor({0, 4}), true), w(ones({4}), true), b(zeros({4}), true);
  const Var y = ops::layer_norm(x, w, b, 1e-5);
  EXPECT_EQ(y.shape(), (Shape{0, 4}));
  backward(y, Tensor({0, 4}));
  for (std::int64_t i = 0; i < 4; ++i) EXPECT_EQ(w.grad().at(i), 0);
  EXPECT_EQ(ops::layer_norm(Tensor({3, 0}), {}, {}, 1e-5).shape(), (Shape{3, 0}));
}

TEST(LayerNorm, NamesBothWidthsOfAMisfit) {
  try {
    ops::layer_norm(Tensor({2, 5}), ones({4}), {}, 1e-5);
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "[layer_norm] input has 5 features, weight is (4,), expected (5,)");
  }
  EXPECT_THROW(ops::layer_norm(Tensor({2, 5}), {}, ones({5, 1}), 1e-5), Error);
}

TEST(LayerNorm, BitsDoNotDependOnThreads) {
  const int before = num_threads();
  const Tensor value = random_normal({200, 48}, RngKey{3});
  Tensor grads[2][3];
  for (int run = 0; run < 2; ++run) {
    set_num_threads(run == 0 ? 1 : 4);
    const Var x(value, true), w(ones({48}), true), b(zeros({48}), true);
    backward(ops::layer_norm(x, w, b, 1e-5), random_normal({200, 48}, RngKey{4}));
    grads[run][0] = x.grad(), grads[run][1] = w.grad(), grads[run][2] = b.grad();
  }
  set_num_threads(before);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(count_different_bits(grads[0][i], grads[1][i]), 0) << i;
}

}  // namespace
}  // namespace fovea
