#include "fovea/kernels/lamb.h"

#include <gtest/gtest.h>

#include "fovea/core/parallel.h"
#include "fovea/kernels/lamb_reference.h"
#include "fovea/testing/gradcheck.h"
#include "guarded.h"

namespace fovea::kernels {
namespace {

using testing::Guarded;

constexpr LambStep numbers{.beta1 = 0.9,
                           .beta2 = 0.98,
                           .eps = 1e-6,
                           .weight_decay = 0.2,
                           .correction1 = 0.19,
                           .correction2 = 0.04,
                           .gradient_scale = 0.5};

void expect_agreement(std::int64_t n, const std::string& isa) {
  Guarded w(n, 1), m(n), v(n);
  std::vector<double> wide_w = w.wide(), wide_m = m.wide(), wide_v = v.wide();
  for (std::uint64_t step = 0; step < 2; ++step) {
    Guarded g(n, 3 + step);
    const std::vector<double> wide_g = g.wide();
    const LambNorms norms = lamb_moments_f32(numbers, n, g.data(), w.data(), m.data(), v.data());
    const LambNorms expected =
        lamb_moments_reference(numbers, n, wide_g.data(), wide_w.data(), wide_m.data(), wide_v.data());
    EXPECT_NEAR(norms.weight, expected.weight, 1e-5 * expected.weight) << isa << " " << n;
    EXPECT_NEAR(norms.update, expected.update, 1e-5 * expected.update) << isa << " " << n;
    lamb_weights_f32(numbers, 1e-3, n, m.data(), v.data(), w.data());
    lamb_weights_reference(numbers, 1e-3, n, wide_m.data(), wide_v.data(), wide_w.data());
  }
  EXPECT_LT(m.difference(wide_m), 1e-6) << isa << " " << n;
  EXPECT_LT(v.difference(wide_v), 1e-6) << isa << " " << n;
  EXPECT_LT(w.difference(wide_w), 1e-5) << isa << " " << n;
}

TEST(LambKernel, EqualsTheReferenceAtEveryTailAndStopsThere) {
  testing::for_each_isa([](const std::string& isa) {
    for (std::int64_t n = 0; n <= 34; ++n) expect_agreement(n, isa);
    expect_agreement(70001, isa);  // several stretches and tasks
  });
}

TEST(LambKernel, BitsDoNotDependOnTheNumberOfThreads) {
  constexpr std::int64_t n = 200003;
  const int before = num_threads();
  LambNorms norms[2];
  for (int threads = 1; threads <= 2; ++threads) {
    set_num_threads(threads);
    Guarded g(n, 1), w(n, 2), m(n, 3), v(n);
    norms[threads - 1] = lamb_moments_f32(numbers, n, g.data(), w.data(), m.data(), v.data());
  }
  set_num_threads(before);
  EXPECT_EQ(norms[0].weight, norms[1].weight);
  EXPECT_EQ(norms[0].update, norms[1].update);
}

}  // namespace
}  // namespace fovea::kernels
