#include "fovea/nn/mlp.h"

#include <gtest/gtest.h>

#include "module_check.h"

namespace fovea::nn {
namespace {

TEST(Mlp, GradientsForEveryActivation) {
  for (const auto activation : {Activation::quick_gelu, Activation::gelu, Activation::gelu_tanh, Activation::silu}) {
    Init init(1, DType::f64);
    Mlp mlp{Linear(3, 5, init), Linear(5, 3, init), activation};
    const auto result =
        testing::check_module(mlp, testing::normal_inputs({{4, 3}, {4, 3}}),
                              [&](std::span<const Var> in) { return mlp(in[0], Ctx{}, in[1]); }, {.step = 3e-4});
    EXPECT_TRUE(result) << result.message;
  }
}

TEST(Mlp, IsTwoLinearsAroundTheActivation) {
  const Mlp mlp{Linear(from_values<double>({2, 1}, {1, -1})), Linear(from_values<double>({1, 2}, {10, 100})),
                Activation::relu};
  EXPECT_DOUBLE_EQ(mlp(from_values<double>({1, 1}, {3}), Ctx{}).item(), 30);
  EXPECT_DOUBLE_EQ(mlp(from_values<double>({1, 1}, {-3}), Ctx{}, from_values<double>({1, 1}, {7})).item(), 307);
}

}  // namespace
}  // namespace fovea::nn
