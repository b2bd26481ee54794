#include "fovea/kernels/sgd.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "fovea/kernels/sgd_reference.h"
#include "fovea/tensor/factory.h"
#include "fovea/testing/gradcheck.h"

namespace fovea {
namespace {

// Weights and buffer after some steps with fresh random gradients, by the kernel (f32) and the reference (f64).
struct Steps {
  Steps(std::int64_t n, int steps, bool nesterov) : w(random_normal({n + 1}, RngKey{1})), m(zeros({n + 1})) {
    Tensor wide_w = w.to(DType::f64), wide_m = m.to(DType::f64);
    const kernels::SgdStep numbers{3e-2, 0.9, 0.2, nesterov, 0.5};
    for (int step = 1; step <= steps; ++step) {
      const Tensor g = random_normal({n}, RngKey{2}.derive(static_cast<std::uint64_t>(step))),
                   wide_g = g.to(DType::f64);
      kernels::sgd_f32(numbers, n, g.data<float>(), w.mutable_data<float>(), m.mutable_data<float>());
      kernels::sgd_reference(numbers, n, wide_g.data<double>(), wide_w.mutable_data<double>(),
                             wide_m.mutable_data<double>());
    }
    error = std::max(testing::relative_error(w, wide_w, 1e-6), testing::relative_error(m, wide_m, 1e-6));
  }

  Tensor w, m;
  double error;
};

TEST(SgdKernelTest, EqualsTheReferenceAtEveryTailAndStopsThere) {
  testing::for_each_isa([](const std::string& isa) {
    for (const bool nesterov : {false, true}) {
      for (std::int64_t n = 0; n <= 34; ++n) {
        const Steps run(n, 3, nesterov);
        EXPECT_LT(run.error, 1e-6) << isa << " " << n;
        EXPECT_EQ(run.w.at(n), random_normal({n + 1}, RngKey{1}).at(n)) << isa << " " << n;
        EXPECT_EQ(run.m.at(n), 0) << isa << " " << n;
      }
      EXPECT_LT(Steps(40001, 20, nesterov).error, 2e-6) << isa;
    }
  });
}

}  // namespace
}  // namespace fovea
