// Batch normalisation against numeric gradients, PyTorch's numbers, and its own errors.
#include "fovea/ops/batch_norm.h"

#include <gtest/gtest.h>

#include "accumulation.h"
#include "fovea/ops/activation.h"
#include "fovea/ops/elementwise.h"
#include "fovea/ops/matmul.h"
#include "fovea/ops/pool.h"
#include "fovea/ops/shape.h"

namespace fovea {
namespace {

using testing::normal_inputs;

struct Running {
  Tensor mean, variance;
  explicit Running(std::int64_t channels, DType dtype = DType::f64)
      : mean(random_normal({channels}, RngKey{5}, 0, 1, dtype)),
        variance(random_uniform({channels}, RngKey{6}, 0.5, 2, dtype)) {}
};

std::string failure(const Shape& shape, bool training, Activation activation, bool residual,
                    std::int64_t ghost_batches = 1) {
  Running running(shape[-1]);
  const auto f = [&](std::span<const Var> in) {
    return ops::batch_norm(in[0], in[1], in[2], running.mean, running.variance,
                           {training, 0, 1e-2, activation, ghost_batches}, residual ? in[3] : Var());
  };
  std::vector<Shape> shapes{shape, {shape[-1]}, {shape[-1]}};
  if (residual) shapes.push_back(shape);
  const std::vector<Tensor> inputs = normal_inputs(shapes);
  const auto result = testing::check_op(f, inputs, {.step = 1e-4});  // small: relu has a corner
  return result ? testing::accumulation_failure(f, inputs) : result.message;
}

TEST(BatchNorm, MatchesNumericGradients) {
  for (const Shape& shape : {Shape{2, 1}, Shape{7, 3}, Shape{2, 3, 2, 5}, Shape{6, 16}, Shape{5, 33}, Shape{70, 2}}) {
    for (int mode = 0; mode < 8; ++mode) {
      const Activation activation = mode & 2 ? Activation::relu : Activation::none;
      EXPECT_EQ(failure(shape, mode & 1, activation, mode & 4), "") << to_string(shape) << ", mode " << mode;
    }
    for (const Activation activation :
         {Activation::silu, Activation::gelu, Activation::gelu_tanh, Activation::quick_gelu}) {
      for (const bool training : {false, true}) {
        EXPECT_EQ(failure(shape, training, activation, false), "") << to_string(shape) << ", training " << training;
      }
    }
  }
}

TEST(BatchNorm, MatchesNumericGradientsAtEveryTail) {
  for (std::int64_t c = 1; c <= 33; ++c) EXPECT_EQ(failure({6, c}, true, Activation::relu, true), "") << c;
}

TEST(BatchNorm, GhostBatchesMatchNumericGradients) {
  for (const std::int64_t groups : {2, 3, 6}) {
    EXPECT_EQ(failure({6, 2, 3, 5}, true, Activation::silu, false, groups), "") << groups;
    EXPECT_EQ(failure({12, 2, 3, 5}, true, Activation::none, true, groups), "") << groups;
  }
}

// Every ghost batch gives what it gives alone; the running statistics move towards the mean over them.
TEST(BatchNorm, GhostBatchesAreBatchesOfTheirOwn) {
  const Tensor x = random_normal({6, 4, 3}, RngKey{1}, 2, 3, DType::f64);
  const Tensor w = ones({3}, DType::f64), b = zeros({3}, DType::f64);
  Running running(3);
  const ops::BatchNormOptions options{true, 0.25, 1e-3, Activation::silu, 3};
  const Tensor y = ops::batch_norm(x, w, b, running.mean, running.variance, options).value();
  Tensor mean = zeros({3}, DType::f64), variance = zeros({3}, DType::f64);
  for (std::int64_t g = 0; g < 3; ++g) {
    Running alone(3);
    const Tensor part = ops::batch_norm(x.rows(2 * g, 2 * g + 2), w, b, alone.mean, alone.variance,
                                        {true, 0.25, 1e-3, Activation::silu})
                            .value();
    EXPECT_EQ(count_different_bits(part, y.rows(2 * g, 2 * g + 2)), 0);
    for (std::int64_t c = 0; c < 3; ++c) {
      mean.mutable_data<double>()[c] += alone.mean.at(c) / 3;
      variance.mutable_data<double>()[c] += alone.variance.at(c) / 3;
    }
  }
  EXPECT_LT(max_abs_difference(running.mean, mean), 1e-14);
  EXPECT_LT(max_abs_difference(running.variance, variance), 1e-14);
}

TEST(BatchNorm, InputAsItsOwnResidual) {
  for (const Activation activation : {Activation::none, Activation::relu}) {
    const auto f = [&](std::span<const Var> in) {
      Running running(5);
      return ops::batch_norm(in[0], in[1], in[2], running.mean, running.variance, {true, 0.1, 1e-2, activation}, in[0]);
    };
    const auto result = testing::check_op(f, normal_inputs({{6, 5}, {5}, {5}}), {.step = 1e-4});
    EXPECT_TRUE(result) << result.message;
  }
}

Var gate_of(const Var& mean, const Var& weight) {
  return ops::sigmoid(ops::matmul(ops::silu(ops::matmul(mean, weight)), weight, false, true));
}

// The fused form against the plain one and numeric gradients.
TEST(BatchNorm, ExcitesAsThePartsDo) {
  for (const bool training : {false, true}) {
    for (const std::int64_t groups : {1, 2}) {
      for (const std::int64_t channels : {3, 5, 17}) {
        SCOPED_TRACE(concat("training ", training, ", ", groups, " groups, ", channels, " channels"));
        Running running(channels);
        const ops::BatchNormOptions options{training, 0, 1e-2, Activation::silu, groups};
        const auto fused = [&](std::span<const Var> in) {
          return ops::batch_norm_excite(in[0], in[1], in[2], running.mean, running.variance, options,
                                        [&](const Var& mean) { return gate_of(mean, in[3]); });
        };
        const auto plain = [&](std::span<const Var> in) {
          const Var y = ops::batch_norm(in[0], in[1], in[2], running.mean, running.variance, options);
          const Var gate = gate_of(ops::global_avg_pool2d(y), in[3]);
          return ops::mul(y, ops::reshape(gate, {4, 1, 1, channels}));
        };
        const std::vector<Tensor> inputs = normal_inputs({{4, 2, 3, channels}, {channels}, {channels}, {channels, 2}});
        const std::vector<Var> constants(inputs.begin(), inputs.end());
        EXPECT_LT(max_abs_difference(fused(constants).value(), plain(constants).value()), 1e-14);
        const auto result = testing::check_op(fused, inputs, {.step = 1e-4});
        EXPECT_TRUE(result) << result.message;
        EXPECT_EQ(testing::accumulation_failure(fused, inputs), "");
      }
    }
  }
}

// A gate that alone is trained, and a norm that alone is.
TEST(BatchNorm, ExcitesWithFrozenParts) {
  Running running(4);
  const std::vector<Tensor> values = normal_inputs({{2, 3, 3, 4}, {4}, {4}, {4, 2}});
  const auto gradients = [&](std::vector<bool> trained) {
    std::vector<Var> in;
    for (std::size_t i = 0; i < 4; ++i) in.emplace_back(values[i], trained[i]);
    const Var y =
        ops::batch_norm_excite(in[0], in[1], in[2], running.mean, running.variance, {true, 0, 1e-3, Activation::gelu},
                               [&](const Var& mean) { return gate_of(mean, in[3]); });
    backward(y, normal_inputs({{2, 3, 3, 4}}, 8)[0]);
    return in;
  };
  const std::vector<Var> all = gradients({true, true, true, true});
  EXPECT_EQ(max_abs_difference(gradients({false, false, false, true})[3].grad(), all[3].grad()), 0);
  EXPECT_EQ(max_abs_difference(gradients({false, true, false, false})[1].grad(), all[1].grad()), 0);
  EXPECT_EQ(max_abs_difference(gradients({true, false, false, false})[0].grad(), all[0].grad()), 0);
}

void expect_near(const Tensor& actual, std::initializer_list<double> expected) {
  EXPECT_LT(max_abs_difference(actual, from_values<double>(actual.shape(), expected)), 1e-11);
}

// torch.relu(torch.nn.functional.batch_norm(x, mean, var, weight, bias, training, 0.1, 1e-3) + residual)
struct PyTorchCase {
  Var x{from_values<double>({3, 2}, {1, -2, 3, 0.5, -1, 4}), true};
  Var weight{from_values<double>({2}, {1.5, -2}), true}, bias{from_values<double>({2}, {0.1, 0.2}), true};
  Var residual{from_values<double>({3, 2}, {0.5, -1, 0, 1, 2, 0.25}), true};

  Tensor run(Tensor& mean, Tensor& variance, bool training) {
    const Var y = ops::batch_norm(x, weight, bias, mean, variance, {training, 0.1, 1e-3, Activation::relu}, residual);
    backward(y, from_values<double>({3, 2}, {1, 2, 3, -1, 0.5, 4}));
    return y.value();
  }
};

TEST(BatchNorm, MatchesPyTorchInTraining) {
  Tensor mean = from_values<double>({2}, {0.3, -0.2}), variance = from_values<double>({2}, {1.5, 0.7});
  PyTorchCase c;
  expect_near(c.run(mean, variance, true), {0.6, 1.502580455554, 1.936772944441, 1.4708918183, 0.263227055559, 0});
  expect_near(c.x.grad(), {-0.45919323611, -0.678583781207, 0.230026950339, 1.163082015589, 0.229166285771,  //
                           -0.484498234382});
  expect_near(c.weight.grad(), {3.061288240735, -2.167134546403});
  expect_near(c.bias.grad(), {4.5, 1});
  expect_near(c.residual.grad(), {1, 2, 3, -1, 0.5, 0});
  EXPECT_NEAR(mean.at(0), 0.37, 1e-12);
  EXPECT_NEAR(mean.at(1), -0.096666666667, 1e-12);
  EXPECT_NEAR(variance.at(0), 1.75, 1e-12);
  EXPECT_NEAR(variance.at(1), 1.538333333333, 1e-12);
}

TEST(BatchNorm, MatchesPyTorchInEvaluation) {
  Tensor mean = from_values<double>({2}, {0.37, -0.29 / 3}), variance = from_values<double>({2}, {1.75, 4.615 / 3});
  const Tensor mean_before = mean.clone(), variance_before = variance.clone();
  PyTorchCase c;
  expect_near(c.run(mean, variance, false),
              {1.314148840602, 2.268163592952, 3.081288017117, 0.238176386798, 0.547009664087, 0});
  expect_near(c.x.grad(), {1.133569588257, -3.223989764923, 3.400708764772, 1.611994882462, 0.566784794129, 0});
  expect_near(c.weight.grad(), {5.921011815998, -3.549075399553});
  EXPECT_EQ(count_different_bits(mean, mean_before), 0);
  EXPECT_EQ(count_different_bits(variance, variance_before), 0);
}

TEST(BatchNorm, RunningStatisticsOfAnyFloatTypeAgree) {
  const Tensor x = random_normal({50, 4}, RngKey{1}, 3, 2);
  Running wide(4), narrow(4, DType::f32);
  narrow.mean.copy_from(wide.mean), narrow.variance.copy_from(wide.variance);
  for (Running* r : {&wide, &narrow}) {
    ops::batch_norm(x, ones({4}), zeros({4}), r->mean, r->variance, {true, 0.3, 1e-5});
  }
  EXPECT_LT(max_abs_difference(wide.mean, narrow.mean), 1e-6);
  EXPECT_LT(max_abs_difference(wide.variance, narrow.variance), 1e-6);
  EXPECT_GT(max_abs_difference(wide.mean, Running(4).mean), 0.1);
}

TEST(BatchNorm, MomentumZeroLeavesTheRunningStatisticsAlone) {
  Running running(3);
  const std::uint64_t version = running.mean.version();
  ops::batch_norm(random_normal({4, 3}, RngKey{1}, 0, 1, DType::f64), ones({3}, DType::f64), zeros({3}, DType::f64),
                  running.mean, running.variance, {true, 0, 1e-5});
  EXPECT_EQ(running.mean.version(), version);
}

// The spread is a ten-thousandth of the mean: sums of squares, and means rounded to f32, would lose it.
TEST(BatchNorm, StaysExactWhenTheMeanIsMuchLargerThanTheSpread) {
  const std::int64_t rows = 3000, channels = 19;
  const Tensor x = random_normal({rows, channels}, RngKey{1}, 1e4, 1), dy = random_normal({rows, channels}, RngKey{2});
  Running exact_running(channels);
  const auto run = [&](DType dtype, Running& running) {
    const Var in(x.to(dtype), true), w(ones({channels}, dtype), true), b(zeros({channels}, dtype), true);
    const Var y = ops::batch_norm(in, w, b, running.mean, running.variance, {true, 0.1, 1e-5});
    backward(y, dy.to(dtype));
    return std::vector<Tensor>{y.value(), in.grad(), w.grad(), b.grad()};
  };
  const std::vector<Tensor> exact = run(DType::f64, exact_running);
  testing::for_each_isa([&](const std::string& isa) {
    Running running(channels);
    const std::vector<Tensor> actual = run(DType::f32, running);
    for (std::size_t i = 0; i < exact.size(); ++i) {
      EXPECT_LT(testing::relative_error(actual[i], exact[i], 1e-6), 1e-5) << isa << ", tensor " << i;
    }
    EXPECT_LT(testing::relative_error(running.variance, exact_running.variance, 1e-6), 1e-6) << isa;
  });
}

TEST(BatchNorm, BitsDoNotDependOnThreads) {
  const int before = num_threads();
  const Tensor value = random_normal({9000, 24}, RngKey{3}), dy = random_normal({9000, 24}, RngKey{4});
  std::vector<Tensor> results[2];
  for (int run = 0; run < 2; ++run) {
    set_num_threads(run == 0 ? 1 : 4);
    Running running(24, DType::f32);
    const Var x(value, true), w(ones({24}), true), b(zeros({24}), true);
    const Var y = ops::batch_norm(x, w, b, running.mean, running.variance, {true, 0.1, 1e-5, Activation::relu});
    backward(y, dy);
    results[run] = {y.value(), x.grad(), w.grad(), b.grad(), running.mean, running.variance};
  }
  set_num_threads(before);
  for (std::size_t i = 0; i < results[0].size(); ++i) {
    EXPECT_EQ(count_different_bits(results[0][i], results[1][i]), 0) << i;
  }
}

TEST(BatchNorm, NotANumberPassesThroughRelu) {
  Running running(1, DType::f32);
  Tensor x = ones({3, 1});
  x.mutable_data<float>()[1] = std::nanf("");
  const Var y =
      ops::batch_norm(x, ones({1}), zeros({1}), running.mean, running.variance, {false, 0.1, 1e-5, Activation::relu});
  EXPECT_TRUE(std::isnan(y.value().at(1)));
  EXPECT_FALSE(std::isnan(y.value().at(0)));
}

std::string error_of(const Shape& x, const Shape& weight, const Shape& running, const Var& residual, bool training) {
  Tensor mean = zeros(running), variance = ones(running);
  try {
    ops::batch_norm(Tensor(x), ones(weight), zeros(weight), mean, variance, {training, 0.1, 1e-5}, residual);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(BatchNorm, ErrorsNameBothSides) {
  EXPECT_EQ(error_of({4, 5}, {3}, {5}, {}, true), "[batch_norm] input has 5 channels, weight is (3,) and bias (3,)");
  EXPECT_EQ(error_of({4, 5}, {5}, {3}, {}, true),
            "[batch_norm] input has 5 channels, running mean is (3,) and running variance (3,)");
  EXPECT_EQ(error_of({4, 5}, {5}, {5}, Tensor({5, 4}), true), "[batch_norm] residual is (5, 4), input is (4, 5)");
  EXPECT_EQ(error_of({1, 5}, {5}, {5}, {}, true),
            "[batch_norm] input (1, 5) has 1 values per channel, training needs more than one\n"
            "hint: a larger batch, or evaluation mode");
  EXPECT_NE(error_of({0, 5}, {5}, {5}, {}, true), "");
  EXPECT_EQ(error_of({0, 5}, {5}, {5}, {}, false), "");
  EXPECT_EQ(error_of({3, 0}, {0}, {0}, {}, true), "");
}

}  // namespace
}  // namespace fovea
