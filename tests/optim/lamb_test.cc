#include "fovea/optim/lamb.h"

#include <gtest/gtest.h>

#include <cmath>

#include "../support/error_of.h"
#include "fovea/autograd/backward.h"
#include "fovea/ops/elementwise.h"
#include "fovea/ops/reduce.h"
#include "fovea/optim/adamw.h"
#include "fovea/tensor/factory.h"
#include "fovea/tensor/reduce.h"

namespace fovea::optim {
namespace {

// A decayed matrix and a bias, which is not.
struct Model {
  nn::Param weight, bias;
  static void visit(auto& self, auto&& f) { f("weight", self.weight), f("bias", self.bias); }
};

Model make_model(DType dtype) {
  return {nn::Param(from_values<double>({2, 3}, {0.5, -1.0, 0.25, 2.0, -0.125, 1.5}).to(dtype)),
          nn::Param(from_values<double>({3}, {0.75, -0.5, 1.0}).to(dtype))};
}

void add_gradient(const nn::Param& param, double (*f)(double), double offset, double rate) {
  Tensor gradient(param.shape(), DType::f64);
  for (std::int64_t i = 0; i < gradient.numel(); ++i)
    gradient.mutable_data<double>()[i] = f(offset + rate * static_cast<double>(i));
  backward(ops::sum(param() * gradient.to(param.value().dtype())));
}

// 20 steps of timm 1.0.31's Lamb in f64 (lr 1e-2 (t + 1) / 20, betas (0.9, 0.98), eps 1e-6, decay 0.2 on the matrix
// only, no clipping of its own) after clip_grad_norm_ to 1, from the same start and gradients.
TEST(Lamb, TwentyStepsWithClippingEqualTimm) {
  const Tensor weight = from_values<double>({2, 3}, {0.42923455076658373, -0.9266605538020367, 0.22497067897027398,
                                                     1.8305106002956277, -0.09042650569275519, 1.386949945563823});
  const Tensor bias = from_values<double>({3}, {0.7492592235815303, -0.5051203671723865, 0.9911879949230669});
  for (const DType dtype : {DType::f64, DType::f32}) {
    Model model = make_model(dtype);
    ParamStore store(nn::collect(model));
    Lamb optimizer{.beta2 = 0.98, .weight_decay = 0.2};
    for (int t = 0; t < 20; ++t) {
      store.clear_gradients();
      add_gradient(model.weight, std::sin, 1.3 * t, 0.7);
      add_gradient(model.bias, std::cos, 0.9 * t, -0.4);
      optimizer.step(store, 1e-2 * (t + 1) / 20, clip_factor(gradient_norm(store), 1.0));
    }
    const double tolerance = dtype == DType::f64 ? 1e-12 : 1e-6;
    EXPECT_LT(max_abs_difference(model.weight.value(), weight.to(dtype)), tolerance);
    EXPECT_LT(max_abs_difference(model.bias.value(), bias.to(dtype)), tolerance);
    EXPECT_EQ(optimizer.steps, 20);
  }
}

// Three matrices that run as one.
struct Joined {
  nn::Param qkv;
  static void visit(auto& self, auto&& f) { f({"q", "k", "v"}, self.qkv); }
};

TEST(Lamb, PartsOfAJoinedMatrixHaveTheirOwnRatio) {
  Tensor values({3, 4}, DType::f64);
  for (int i = 0; i < 12; ++i) values.mutable_data<double>()[i] = i < 4 ? 1 : 100;
  Joined model{nn::Param(values)};
  ParamStore store(nn::collect(model));
  ASSERT_EQ(store.segments().size(), 3u);
  EXPECT_EQ(store.segments()[1].offset, 4);
  EXPECT_EQ(store.segments()[1].length, 4);
  EXPECT_EQ(store.runs().size(), 1u);
  add_gradient(
      model.qkv, [](double) { return 1.0; }, 0, 0);
  Lamb{.eps = 1e-12, .weight_decay = 0}.step(store, 0.1);  // the first step of Adam is 1 everywhere
  EXPECT_NEAR(model.qkv.value().at(0), 1 - 0.1, 1e-9);
  EXPECT_NEAR(model.qkv.value().at(4), 100 - 0.1 * 100, 1e-9);
}

TEST(Lamb, WeightsOfZeroStillMove) {
  Model model = make_model(DType::f32);
  model.weight.value().fill(0);
  ParamStore store(nn::collect(model));
  add_gradient(
      model.weight, [](double) { return 2.0; }, 0, 0);
  Lamb{.weight_decay = 0}.step(store, 0.1);
  EXPECT_NEAR(model.weight.value().at(0), -0.1, 1e-5);
}

TEST(Lamb, FrozenParametersStay) {
  Model model = make_model(DType::f32);
  model.weight.leaf()->frozen = true;
  ParamStore store(nn::collect(model));
  EXPECT_EQ(store.segments().size(), 1u);
  add_gradient(
      model.bias, [](double) { return 1.0; }, 0, 0);
  Lamb{}.step(store, 0.1);
  EXPECT_EQ(count_different_bits(model.weight.value(), make_model(DType::f32).weight.value()), 0);
  EXPECT_LT(model.bias.value().at(0), 0.75);
}

TEST(Lamb, SettingsOutOfRangeAreErrors) {
  Model model = make_model(DType::f32);
  ParamStore store(nn::collect(model));
  EXPECT_EQ(tests::error_of([&] { Lamb{.beta2 = 1}.step(store, 0.1); }),
            "[lamb] beta1 and beta2 are 0.9 and 1, expected numbers of [0, 1)");
  EXPECT_THROW(Lamb{.eps = 0}.step(store, 0.1), Error);
  EXPECT_THROW(Lamb{.weight_decay = -1}.step(store, 0.1), Error);
  EXPECT_THROW(Lamb{}.step(store, std::nan("")), Error);
}

}  // namespace
}  // namespace fovea::optim
