#include "fovea/kernels/adamw.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "fovea/kernels/adamw_reference.h"
#include "fovea/tensor/factory.h"
#include "fovea/tensor/reduce.h"
#include "fovea/testing/gradcheck.h"

namespace fovea {
namespace {

// Weights and moments after some steps with fresh random gradients, by the kernel (f32) and the reference (f64).
struct Steps {
  explicit Steps(std::int64_t n, int steps) : w(random_normal({n + 1}, RngKey{1})), wide_w(w.to(DType::f64)) {
    m = zeros({n + 1}), v = zeros({n + 1}), wide_m = zeros({n + 1}, DType::f64), wide_v = zeros({n + 1}, DType::f64);
    kernels::AdamWStep numbers{.lr = 3e-2,
                               .beta1 = 0.9,
                               .beta2 = 0.98,
                               .eps = 1e-6,
                               .weight_decay = 0.2,
                               .correction1 = 0,
                               .correction2 = 0,
                               .gradient_scale = 0.5};
    for (int step = 1; step <= steps; ++step) {
      const Tensor g = random_normal({n}, RngKey{2}.derive(static_cast<std::uint64_t>(step))),
                   wide_g = g.to(DType::f64);
      numbers.correction1 = 1 - std::pow(numbers.beta1, step);
      numbers.correction2 = 1 - std::pow(numbers.beta2, step);
      kernels::adamw_f32(numbers, n, g.data<float>(), w.mutable_data<float>(), m.mutable_data<float>(),
                         v.mutable_data<float>());
      kernels::adamw_reference(numbers, n, wide_g.data<double>(), wide_w.mutable_data<double>(),
                               wide_m.mutable_data<double>(), wide_v.mutable_data<double>());
    }
  }

  double error() const {
    return std::max({testing::relative_error(w, wide_w, 1e-6), testing::relative_error(m, wide_m, 1e-6),
                     testing::relative_error(v, wide_v, 1e-6)});
  }

  Tensor w, m, v, wide_w, wide_m, wide_v;
};

TEST(AdamWKernelTest, EqualsTheReferenceAtEveryTailAndStopsThere) {
  testing::for_each_isa([](const std::string& isa) {
    for (std::int64_t n = 0; n <= 34; ++n) {
      const Steps run(n, 3);
      EXPECT_LT(run.error(), 1e-6) << isa << " " << n;
      EXPECT_EQ(run.w.at(n), random_normal({n + 1}, RngKey{1}).at(n)) << isa << " " << n;
      EXPECT_EQ(run.m.at(n), 0) << isa << " " << n;
      EXPECT_EQ(run.v.at(n), 0) << isa << " " << n;
    }
  });
}

TEST(AdamWKernelTest, TwentyStepsStayCloseToDoublePrecision) {
  testing::for_each_isa([](const std::string& isa) { EXPECT_LT(Steps(40001, 20).error(), 2e-6) << isa; });
}

}  // namespace
}  // namespace fovea
