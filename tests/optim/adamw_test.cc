#include "fovea/optim/adamw.h"

#include <gtest/gtest.h>

#include <cmath>

#include "fovea/autograd/backward.h"
#include "fovea/ops/elementwise.h"
#include "fovea/ops/reduce.h"
#include "fovea/tensor/factory.h"
#include "fovea/tensor/reduce.h"

namespace fovea::optim {
namespace {

// A decayed matrix and a bias.
struct Model {
  nn::Param weight, bias;
  static void visit(auto& self, auto&& f) {
    f("weight", self.weight);
    f("bias", self.bias);
  }
};

Model make_model(DType dtype) {
  return {nn::Param(from_values<double>({2, 3}, {0.5, -1.0, 0.25, 2.0, -0.125, 1.5}).to(dtype)),
          nn::Param(from_values<double>({3}, {0.75, -0.5, 1.0}).to(dtype))};
}

// Puts a gradient where backward would: the derivative of <gradient, parameter>.
void add_gradient(const nn::Param& param, const Tensor& gradient) {
  backward(ops::sum(param() * gradient.to(param.value().dtype())));
}

Tensor waves(Shape shape, double (*f)(double), double offset, double rate) {
  Tensor out(shape, DType::f64);
  for (std::int64_t i = 0; i < out.numel(); ++i)
    out.mutable_data<double>()[i] = f(offset + rate * static_cast<double>(i));
  return out;
}

// 20 steps of torch.optim.AdamW 2.13 in f64 (lr 1e-2 (t + 1) / 20, betas (0.9, 0.98), eps 1e-6, decay 0.2 on the matrix
// only) after clip_grad_norm_ to 1, from the same start and gradients.
TEST(AdamWTest, TwentyStepsWithClippingEqualPyTorch) {
  const Tensor weight = from_values<double>({2, 3}, {0.48371134923265247, -0.984632456101064, 0.24247638459280185,
                                                     1.959510490748842, -0.11796386767993579, 1.4751950169317471});
  const Tensor bias = from_values<double>({3}, {0.7492592235815303, -0.5051203671723865, 0.9911879949230669});
  for (DType dtype : {DType::f64, DType::f32}) {
    Model model = make_model(dtype);
    ParamStore store(nn::collect(model));
    AdamW optimizer;
    double norm = 0;
    for (int t = 0; t < 20; ++t) {
      store.clear_gradients();
      add_gradient(model.weight, waves({2, 3}, std::sin, 1.3 * t, 0.7));
      add_gradient(model.bias, waves({3}, std::cos, 0.9 * t, -0.4));
      norm = gradient_norm(store);
      optimizer.step(store, 1e-2 * (t + 1) / 20, clip_factor(norm, 1.0));
    }
    const double tolerance = dtype == DType::f64 ? 1e-12 : 1e-6;
    EXPECT_NEAR(norm, 1.8514985085778435, tolerance);
    EXPECT_LT(max_abs_difference(model.weight.value(), weight.to(dtype)), tolerance);
    EXPECT_LT(max_abs_difference(model.bias.value(), bias.to(dtype)), tolerance);
    EXPECT_EQ(optimizer.steps, 20);
  }
}

TEST(AdamWTest, ParametersThatBackwardDidNotReachOnlyDecay) {
  Model model = make_model(DType::f64);
  ParamStore store(nn::collect(model));
  AdamW optimizer;
  add_gradient(model.weight, ones({2, 3}));
  optimizer.step(store, 0.1);
  const Tensor weight = model.weight.value().clone(), bias = model.bias.value().clone();
  EXPECT_EQ(bias.at(0), 0.75);  // no gradient, no decay
  store.clear_gradients();
  store.role("exp_avg").fill(0);
  optimizer.step(store, 0.1);  // the old gradient must not be used again
  EXPECT_DOUBLE_EQ(model.weight.value().at(0), weight.at(0) * (1 - 0.1 * 0.2));
  EXPECT_EQ(count_different_bits(model.bias.value(), bias), 0);
}

TEST(AdamWTest, FrozenParametersStay) {
  Model model = make_model(DType::f32);
  model.weight.leaf()->frozen = true;
  ParamStore store(nn::collect(model));
  AdamW optimizer;
  add_gradient(model.bias, ones({3}));
  optimizer.step(store, 0.1);
  EXPECT_EQ(count_different_bits(model.weight.value(), make_model(DType::f32).weight.value()), 0);
  EXPECT_LT(model.bias.value().at(0), 0.75);
}

TEST(AdamWTest, PaddingBetweenParametersStaysZero) {
  Model model = make_model(DType::f32);
  ParamStore store(nn::collect(model));
  AdamW optimizer;
  add_gradient(model.weight, ones({2, 3}));
  add_gradient(model.bias, ones({3}));
  optimizer.step(store, 0.1);
  EXPECT_NEAR(gradient_norm(store), 3, 1e-12);  // nine ones
  const Tensor& weights = store.weights();
  for (std::int64_t i = 6; i < 16; ++i) EXPECT_EQ(weights.at(i), 0) << i;
}

TEST(AdamWTest, AStepIsAChangeThatASavedWeightNotices) {
  Model model = make_model(DType::f32);
  ParamStore store(nn::collect(model));
  AdamW optimizer;
  const Var loss = ops::sum(ops::square(model.weight()));
  optimizer.step(store, 0.1);
  EXPECT_THROW(backward(loss), Error);
}

TEST(AdamWTest, ClipFactorScalesLongGradientsOnly) {
  EXPECT_EQ(clip_factor(0.5, 1), 1);
  EXPECT_NEAR(clip_factor(4, 1), 0.25, 1e-6);
  EXPECT_EQ(clip_factor(4, 0), 1);
}

TEST(AdamWTest, SettingsOutOfRangeAreErrors) {
  Model model = make_model(DType::f32);
  ParamStore store(nn::collect(model));
  EXPECT_THROW(AdamW{.beta1 = 1}.step(store, 0.1), Error);
  EXPECT_THROW(AdamW{.eps = 0}.step(store, 0.1), Error);
  EXPECT_THROW(AdamW{.weight_decay = -1}.step(store, 0.1), Error);
  EXPECT_THROW(AdamW{}.step(store, std::nan("")), Error);
  EXPECT_THROW(AdamW{}.step(store, -0.1), Error);
}

}  // namespace
}  // namespace fovea::optim
