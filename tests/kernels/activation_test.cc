#include "fovea/kernels/activation.h"

#include <gtest/gtest.h>

#include "fovea/kernels/activation_reference.h"
#include "fovea/tensor/factory.h"
#include "fovea/tensor/reduce.h"
#include "fovea/testing/gradcheck.h"
#include "special_numbers.h"

namespace fovea {
namespace {

const Activation all_activations[] = {Activation::none,      Activation::relu,       Activation::gelu,
                                      Activation::gelu_tanh, Activation::quick_gelu, Activation::silu};

TEST(ActivationKernelTest, EqualsTheReferenceAtEveryTail) {
  testing::for_each_isa([](const std::string& isa) {
    for (Activation kind : all_activations) {
      for (std::int64_t n = 1; n <= 34; ++n) {
        const Tensor x = random_normal({n}, RngKey{1}, 0, 3), dy = random_normal({n}, RngKey{2});
        const Tensor wide_x = x.to(DType::f64), wide_dy = dy.to(DType::f64);
        Tensor y({n}), dx = random_normal({n}, RngKey{3}), wide_y({n}, DType::f64), wide_dx = dx.to(DType::f64);
        kernels::activation_f32(kind, x.data<float>(), n, y.mutable_data<float>());
        kernels::activation_reference(kind, wide_x.data<double>(), n, wide_y.mutable_data<double>());
        EXPECT_LT(testing::relative_error(y, wide_y, 1e-3), 2e-6) << isa << " " << static_cast<int>(kind) << " " << n;
        const bool accumulate = n % 2 == 1;
        kernels::activation_grad_f32(kind, x.data<float>(), dy.data<float>(), n, dx.mutable_data<float>(), accumulate);
        kernels::activation_grad_reference(kind, wide_x.data<double>(), wide_dy.data<double>(), n,
                                           wide_dx.mutable_data<double>(), accumulate);
        EXPECT_LT(testing::relative_error(dx, wide_dx, 1e-3), 2e-6) << isa << " " << static_cast<int>(kind) << " " << n;
      }
    }
  });
}

TEST(ActivationKernelTest, SpecialNumbersEqualTheReference) {
  testing::for_each_isa([](const std::string& isa) {
    for (Activation kind : all_activations) {
      for (float special : special_numbers) {
        const std::string what = isa + " activation " + std::to_string(static_cast<int>(kind));
        const std::vector<float> x(special_count, special), dy(special_count, 1);
        std::vector<float> y(special_count), dx(special_count);
        kernels::activation_f32(kind, x.data(), special_count, y.data());
        expect_all(y, kernels::activate_reference(kind, static_cast<double>(special)), what, special);
        kernels::activation_grad_f32(kind, x.data(), dy.data(), special_count, dx.data(), false);
        expect_all(dx, kernels::activate_grad_reference(kind, static_cast<double>(special)), what + " gradient",
                   special);
      }
    }
  });
}

TEST(ActivationKernelTest, GradientMayReplaceItsOwnInput) {
  const std::int64_t n = 40001;
  const Tensor x = random_normal({n}, RngKey{1});
  Tensor dy = random_normal({n}, RngKey{2}), dx({n});
  kernels::activation_grad_f32(Activation::gelu, x.data<float>(), dy.data<float>(), n, dx.mutable_data<float>(), false);
  kernels::activation_grad_f32(Activation::gelu, x.data<float>(), dy.data<float>(), n, dy.mutable_data<float>(), false);
  EXPECT_EQ(count_different_bits(dx, dy), 0);
}

}  // namespace
}  // namespace fovea
