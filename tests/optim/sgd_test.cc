#include "fovea/optim/sgd.h"

#include <gtest/gtest.h>

#include <cmath>

#include "../support/error_of.h"
#include "fovea/autograd/backward.h"
#include "fovea/ops/elementwise.h"
#include "fovea/ops/reduce.h"
#include "fovea/optim/adamw.h"
#include "fovea/optim/optimizer.h"
#include "fovea/tensor/factory.h"
#include "fovea/tensor/reduce.h"

namespace fovea::optim {
namespace {

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

// 20 steps of torch.optim.SGD 2.13 in f64 (lr 1e-2 (t + 1) / 20, momentum 0.9, decay 0.2 on the matrix only) after
// clip_grad_norm_ to 1, from the same start and gradients.
TEST(Sgd, TwentyStepsWithClippingEqualPyTorch) {
  for (const bool nesterov : {false, true}) {
    const Tensor weight =
        nesterov ? from_values<double>({2, 3}, {0.41990316300440594, -0.8514173516259967, 0.20975180084484266,
                                                1.6956755615871195, -0.10280957736276607, 1.275395240626486})
                 : from_values<double>({2, 3}, {0.41796152263283454, -0.8586782796048187, 0.21094791914545227,
                                                1.7075731343282823, -0.09914318010467107, 1.2858830398626697});
    const Tensor bias = nesterov
                            ? from_values<double>({3}, {0.7577999594095632, -0.49985515983384116, 0.992466853845264})
                            : from_values<double>({3}, {0.7524057652094799, -0.5063006551458572, 0.9859876594074949});
    for (const DType dtype : {DType::f64, DType::f32}) {
      Model model = make_model(dtype);
      ParamStore store(nn::collect(model));
      Optimizer optimizer{Sgd{.momentum = 0.9, .weight_decay = 0.2, .nesterov = nesterov}};
      for (int t = 0; t < 20; ++t) {
        store.clear_gradients();
        add_gradient(model.weight, std::sin, 1.3 * t, 0.7);
        add_gradient(model.bias, std::cos, 0.9 * t, -0.4);
        optimizer.step(store, 1e-2 * (t + 1) / 20, clip_factor(gradient_norm(store), 1.0));
      }
      const double tolerance = dtype == DType::f64 ? 1e-12 : 1e-6;
      EXPECT_LT(max_abs_difference(model.weight.value(), weight.to(dtype)), tolerance);
      EXPECT_LT(max_abs_difference(model.bias.value(), bias.to(dtype)), tolerance);
      EXPECT_EQ(optimizer.steps(), 20);
    }
  }
}

TEST(Sgd, LearningRatesOfSingleParametersAreScaled) {
  for (Optimizer optimizer : {Optimizer{Sgd{.momentum = 0}}, Optimizer{AdamW{.eps = 1e-12, .weight_decay = 0}}}) {
    Model model = make_model(DType::f64);
    model.bias.leaf()->lr_scale = 0.25;
    ParamStore store(nn::collect(model));
    const auto one = [](double) { return 1.0; };
    add_gradient(model.weight, one, 0, 0);
    add_gradient(model.bias, one, 0, 0);
    optimizer.step(store, 0.1);
    EXPECT_NEAR(model.weight.value().at(0), 0.5 - 0.1, 1e-9);
    EXPECT_NEAR(model.bias.value().at(0), 0.75 - 0.025, 1e-9);
  }
}

TEST(Sgd, SettingsOutOfRangeAreErrors) {
  Model model = make_model(DType::f32);
  ParamStore store(nn::collect(model));
  EXPECT_EQ(tests::error_of([&] { Sgd{.momentum = 1}.step(store, 0.1); }),
            "[sgd] momentum is 1, expected a number of [0, 1)");
  EXPECT_THROW((Sgd{.weight_decay = -1}.step(store, 0.1)), Error);
  EXPECT_THROW((Sgd{.momentum = 0, .nesterov = true}.step(store, 0.1)), Error);
  EXPECT_THROW(Sgd{}.step(store, std::nan("")), Error);
}

}  // namespace
}  // namespace fovea::optim
