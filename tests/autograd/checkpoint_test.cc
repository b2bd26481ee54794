#include "fovea/autograd/checkpoint.h"

#include <gtest/gtest.h>

#include "../support/error_of.h"
#include "fovea/autograd/backward.h"
#include "fovea/autograd/no_grad.h"
#include "fovea/core/allocator.h"
#include "fovea/ops/activation.h"
#include "fovea/ops/batch_norm.h"
#include "fovea/ops/dropout.h"
#include "fovea/ops/elementwise.h"
#include "fovea/ops/linear.h"
#include "fovea/ops/reduce.h"
#include "fovea/tensor/factory.h"
#include "fovea/tensor/reduce.h"
#include "fovea/testing/gradcheck.h"

namespace fovea {
namespace {

// Two layers with dropout between them, over weights that the function owns.
struct Layers {
  Var first, second;

  Var operator()(std::span<const Var> in) const {
    const Var hidden = ops::dropout(ops::linear(in[0], first, {}, Activation::gelu), 0.3, RngKey{7}, true);
    return ops::linear(hidden, second, {}, Activation::none, in[0]);
  }
};

struct Gradients {
  Tensor value, x, first, second;
};

Gradients run(bool with_checkpoint, const std::vector<Tensor>& in) {
  const Var x(in[0].clone(), true), first(in[1].clone(), true), second(in[2].clone(), true);
  const Layers layers{first, second};
  const Var again = ops::mul(x, 0.5);  // the input is used on another path too
  const Var y = with_checkpoint ? checkpoint(layers, {again}) : layers(std::vector<Var>{again});
  backward(ops::sum(ops::mul(y, again)));
  return {y.value(), x.grad(), first.grad(), second.grad()};
}

TEST(Checkpoint, GivesTheBitsOfTheFunctionItself) {
  for (const DType type : {DType::f32, DType::f64}) {
    std::vector<Tensor> in;
    for (const Tensor& t : testing::normal_inputs({{6, 8}, {16, 8}, {8, 16}})) in.push_back(t.to(type));
    const Gradients plain = run(false, in), again = run(true, in);
    EXPECT_EQ(max_abs_difference(again.value, plain.value), 0);
    EXPECT_EQ(max_abs_difference(again.x, plain.x), 0);
    EXPECT_EQ(max_abs_difference(again.first, plain.first), 0);
    EXPECT_EQ(max_abs_difference(again.second, plain.second), 0);
    EXPECT_GT(max_abs_difference(plain.first, zeros(plain.first.shape(), type)), 0);
  }
}

TEST(Checkpoint, KeepsItsInputsAlone) {
  const std::int64_t rows = 256, width = 64;
  const Layers layers{Var(random_normal({1024, width}, RngKey{1}), true),
                      Var(random_normal({width, 1024}, RngKey{2}), true)};
  const Var x(random_normal({rows, width}, RngKey{3}), true);
  const auto kept = [&](bool with_checkpoint) {
    const std::int64_t before = allocator::stats().live_bytes;
    const Var y = with_checkpoint ? checkpoint(layers, {x}) : layers(std::vector<Var>{x});
    return allocator::stats().live_bytes - before;
  };
  const std::int64_t output = rows * width * 4;
  EXPECT_LE(kept(true), output + 4096);
  EXPECT_GT(kept(false), 10 * output);
}

// The first block of a model reads data, and its parameters still learn.
TEST(Checkpoint, RecordsParametersThatItsInputsDoNotShow) {
  const Var x(full({2, 3}, 1)), weight(full({4, 3}, 2), true);
  const Var y = checkpoint([weight](std::span<const Var> in) { return ops::linear(in[0], weight); }, {x});
  ASSERT_TRUE(y.requires_grad());
  backward(ops::sum(y));
  EXPECT_EQ(weight.grad().at(0), 2);
}

TEST(Checkpoint, RecordsNothingWhereNothingLearns) {
  const Var x(full({2, 3}, 1)), weight(full({4, 3}, 2)), learning(full({4, 3}, 2), true);
  const auto product = [](const Var& w) { return [w](std::span<const Var> in) { return ops::linear(in[0], w); }; };
  EXPECT_FALSE(checkpoint(product(weight), {x}).requires_grad());
  EXPECT_TRUE(checkpoint(product(learning), {x}).requires_grad());
  const NoGrad off;
  EXPECT_FALSE(checkpoint(product(learning), {x}).requires_grad());
}

TEST(Checkpoint, RunningStatisticsMoveOnce) {
  const auto in = testing::normal_inputs({{6, 3}, {3}, {3}});
  const auto statistics = [&](bool with_checkpoint) {
    const Var x(in[0], true), weight(in[1], true), bias(in[2], true);
    Tensor mean = zeros({3}, DType::f64), variance = full({3}, 1, DType::f64);
    const auto norm = [&mean, &variance, weight, bias](std::span<const Var> inputs) {
      return ops::batch_norm(inputs[0], weight, bias, mean, variance, {true, 0.1, 1e-5});
    };
    backward(ops::sum(ops::square(with_checkpoint ? checkpoint(norm, {x}) : norm(std::vector<Var>{x}))));
    return std::vector<Tensor>{mean, variance, x.grad(), weight.grad()};
  };
  const auto plain = statistics(false), again = statistics(true);
  for (std::size_t i = 0; i < plain.size(); ++i) EXPECT_EQ(max_abs_difference(again[i], plain[i]), 0) << i;
  EXPECT_FALSE(recomputing());
}

TEST(Checkpoint, Nests) {
  const auto in = testing::normal_inputs({{3, 4}, {4, 4}});
  const auto gradient = [&](int depth) {
    const Var x(in[0].clone(), true), weight(in[1].clone(), true);
    const auto layer = [weight](std::span<const Var> v) { return ops::linear(v[0], weight, {}, Activation::gelu); };
    const auto two = [layer](std::span<const Var> v) { return checkpoint(layer, {checkpoint(layer, {v[0]})}); };
    const auto plain = [layer](std::span<const Var> v) { return layer(std::vector<Var>{layer(v)}); };
    backward(ops::sum(depth == 0   ? plain(std::vector<Var>{x})
                      : depth == 1 ? two(std::vector<Var>{x})
                                   : checkpoint(two, {x})));
    return std::vector<Tensor>{x.grad(), weight.grad()};
  };
  for (const int depth : {1, 2}) {
    for (std::size_t i = 0; i < 2; ++i) EXPECT_EQ(max_abs_difference(gradient(depth)[i], gradient(0)[i]), 0) << depth;
  }
}

TEST(Checkpoint, TakesOneValueTwiceAndValuesItDoesNotUse) {
  const auto in = testing::normal_inputs({{3, 4}});
  const auto square = [](std::span<const Var> v) { return ops::mul(v[0], v[1]); };
  const Var x(in[0].clone(), true), unused(in[0].clone(), true);
  backward(ops::sum(checkpoint(square, {x, x, unused})));
  for (std::int64_t i = 0; i < 12; ++i) {
    EXPECT_EQ(x.grad().at(i), 2 * in[0].at(i));
    EXPECT_EQ(unused.grad().at(i), 0);
  }
}

TEST(Checkpoint, NoticesInputsThatWereChanged) {
  Tensor values = full({2, 3}, 1);
  const Var weight(full({4, 3}, 2), true);
  const Var y =
      ops::sum(checkpoint([weight](std::span<const Var> in) { return ops::linear(in[0], weight); }, {Var(values)}));
  values.fill(3);
  EXPECT_NE(tests::error_of([&] { backward(y); }).find("was changed in place"), std::string::npos);
}

}  // namespace
}  // namespace fovea
