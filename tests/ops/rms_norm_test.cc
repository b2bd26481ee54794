// Root-mean-square normalisation against numeric gradients, PyTorch's numbers, and its own errors.
#include "fovea/ops/rms_norm.h"

#include <gtest/gtest.h>

#include "accumulation.h"

namespace fovea {
namespace {

using testing::check_op;
using testing::normal_inputs;

constexpr auto normalised = [](std::span<const Var> in) { return ops::rms_norm(in[0], in[1], 0.1); };

TEST(RmsNorm, MatchesNumericGradients) {
  for (const Shape& shape : {Shape{1, 1}, Shape{3, 7}, Shape{5, 16}, Shape{2, 3, 33}, Shape{9}, Shape{70, 5}}) {
    const auto result = check_op(normalised, normal_inputs({shape, {shape[-1]}}));
    EXPECT_TRUE(result) << to_string(shape) << ": " << result.message;
  }
}

TEST(RmsNorm, AddsToGradientsAtEveryTail) {
  for (std::int64_t d = 1; d <= 33; ++d) {
    EXPECT_EQ(testing::accumulation_failure(normalised, normal_inputs({{3, d}, {d}})), "") << d;
  }
}

TEST(RmsNorm, TheWeightMayBeLeftOut) {
  const auto plain =
      check_op([](std::span<const Var> in) { return ops::rms_norm(in[0], {}, 1e-6); }, normal_inputs({{4, 19}}));
  EXPECT_TRUE(plain) << plain.message;
}

// torch.nn.functional.rms_norm([[1,2,4],[-1,0,5]], weight=[1,2,3], eps=1e-5), and its gradients for dy = x.
TEST(RmsNorm, MatchesPyTorch) {
  const Var x(from_values<double>({2, 3}, {1, 2, 4, -1, 0, 5}), true), w(from_values<double>({3}, {1, 2, 3}), true);
  const Var y = ops::rms_norm(x, w, 1e-5);
  backward(y, x.value().clone());
  const auto near = [](const Tensor& actual, std::initializer_list<double> expected) {
    EXPECT_LT(max_abs_difference(actual, from_values<double>(actual.shape(), expected)), 1e-11);
  };
  near(y.value(), {0.377964203035, 1.51185681214, 4.535570436419, -0.339682914273, 0, 5.095243714088});
  near(x.grad(), {-0.647937168201, -0.539945930332, 0.431964951476, 0.653235227926, 0, 0.130653003094});
  near(w.grad(), {0.717647117307, 1.51185681214, 14.539500105371});
}

TEST(RmsNorm, EmptyInput) {
  const Var x(Tensor({0, 4}), true), w(ones({4}), true);
  const Var y = ops::rms_norm(x, w, 1e-5);
  EXPECT_EQ(y.shape(), (Shape{0, 4}));
  backward(y, Tensor({0, 4}));
  for (std::int64_t i = 0; i < 4; ++i) EXPECT_EQ(w.grad().at(i), 0);
}

TEST(RmsNorm, NamesBothWidthsOfAMisfit) {
  try {
    ops::rms_norm(Tensor({2, 5}), ones({4}), 1e-5);
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "[rms_norm] input has 5 features, weight is (4,), expected (5,)");
  }
}

TEST(RmsNorm, BitsDoNotDependOnThreads) {
  const int before = num_threads();
  const Tensor value = random_normal({200, 48}, RngKey{3});
  Tensor grads[2][2];
  for (int run = 0; run < 2; ++run) {
    set_num_threads(run == 0 ? 1 : 4);
    const Var x(value, true), w(ones({48}), true);
    backward(ops::rms_norm(x, w, 1e-5), random_normal({200, 48}, RngKey{4}));
    grads[run][0] = x.grad(), grads[run][1] = w.grad();
  }
  set_num_threads(before);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(count_different_bits(grads[0][i], grads[1][i]), 0) << i;
}

}  // namespace
}  // namespace fovea
