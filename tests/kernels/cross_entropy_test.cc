#include "fovea/kernels/cross_entropy.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "fovea/core/rng.h"
#include "fovea/kernels/cross_entropy_reference.h"
#include "fovea/testing/gradcheck.h"

namespace fovea::kernels {
namespace {

constexpr std::int64_t rows = 4;
constexpr float untouched = 12345;

std::vector<double> normal_values(std::int64_t n, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<double> out;
  for (std::int64_t i = 0; i < n; ++i) out.push_back(static_cast<double>(static_cast<float>(rng.normal())));
  return out;
}

// f32 values and one element more, which no kernel may write.
std::vector<float> narrow(const std::vector<double>& x) {
  std::vector<float> out(x.begin(), x.end());
  out.push_back(untouched);
  return out;
}

void expect_near(const std::vector<float>& a, const std::vector<double>& b, const std::string& what) {
  for (std::size_t i = 0; i < b.size(); ++i)
    EXPECT_NEAR(static_cast<double>(a[i]), b[i], 1e-6 * (10 + std::abs(b[i]))) << what << " " << i;
  EXPECT_EQ(a[b.size()], untouched) << what;
}

class CrossEntropyKernel : public ::testing::TestWithParam<double> {};

TEST_P(CrossEntropyKernel, MatchesTheReferenceForEveryTailLength) {
  const double smoothing = GetParam();
  for (std::int64_t v = 1; v <= 33; ++v) {
    const std::vector<double> x = normal_values(rows * v, 1), scale = normal_values(rows, 2),
                              old = normal_values(rows * v, 3);
    const std::vector<std::int64_t> targets{v - 1, 0, -1, v / 2};
    const CrossEntropyLogits<double> x64{x.data(), rows, v, smoothing};
    std::vector<double> losses64(rows), logsumexp64(rows);
    cross_entropy_forward_reference(x64, targets.data(), losses64.data(), logsumexp64.data());
    fovea::testing::for_each_isa([&](const std::string& isa) {
      const std::string what = isa + " classes " + std::to_string(v);
      const std::vector<float> x_narrow = narrow(x), scale32 = narrow(scale);
      const CrossEntropyLogits<float> x32{x_narrow.data(), rows, v, smoothing};
      std::vector<float> losses(rows + 1, untouched), logsumexp = losses;
      cross_entropy_forward_f32(x32, targets.data(), losses.data(), logsumexp.data());
      expect_near(losses, losses64, what);
      expect_near(logsumexp, logsumexp64, what);
      for (bool accumulate : {false, true}) {
        std::vector<double> dx64 = old;
        cross_entropy_backward_reference(x64, targets.data(), logsumexp64.data(), scale.data(), dx64.data(),
                                         accumulate);
        std::vector<float> dx = narrow(old);
        cross_entropy_backward_f32(x32, targets.data(), logsumexp.data(), scale32.data(), dx.data(), accumulate);
        expect_near(dx, dx64, what);
      }
    });
  }
}

TEST_P(CrossEntropyKernel, SoftMatchesTheReferenceForEveryTailLength) {
  const double smoothing = GetParam();
  for (std::int64_t v = 1; v <= 33; ++v) {
    const std::vector<double> x = normal_values(rows * v, 4), targets = normal_values(rows * v, 5);
    const std::vector<double> scale = normal_values(rows, 6), old = normal_values(rows * v, 7);
    const CrossEntropyLogits<double> x64{x.data(), rows, v, smoothing};
    std::vector<double> losses64(rows), logsumexp64(rows);
    cross_entropy_soft_forward_reference(x64, targets.data(), losses64.data(), logsumexp64.data());
    fovea::testing::for_each_isa([&](const std::string& isa) {
      const std::string what = isa + " classes " + std::to_string(v);
      const std::vector<float> x_narrow = narrow(x), targets32 = narrow(targets), scale32 = narrow(scale);
      const CrossEntropyLogits<float> x32{x_narrow.data(), rows, v, smoothing};
      std::vector<float> losses(rows + 1, untouched), logsumexp = losses;
      cross_entropy_soft_forward_f32(x32, targets32.data(), losses.data(), logsumexp.data());
      expect_near(losses, losses64, what);
      for (bool accumulate : {false, true}) {
        std::vector<double> dx64 = old, dp64 = old;
        cross_entropy_soft_backward_reference(x64, targets.data(), logsumexp64.data(), scale.data(), dx64.data(),
                                              accumulate);
        cross_entropy_soft_backward_targets_reference(x64, logsumexp64.data(), scale.data(), dp64.data(), accumulate);
        std::vector<float> dx = narrow(old), dp = narrow(old);
        cross_entropy_soft_backward_f32(x32, targets32.data(), logsumexp.data(), scale32.data(), dx.data(), accumulate);
        cross_entropy_soft_backward_targets_f32(x32, logsumexp.data(), scale32.data(), dp.data(), accumulate);
        expect_near(dx, dx64, what);
        expect_near(dp, dp64, what);
      }
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Smoothing, CrossEntropyKernel, ::testing::Values(0.0, 0.1),
                         [](const auto& test) { return test.param > 0 ? "smoothed" : "plain"; });

}  // namespace
}  // namespace fovea::kernels
