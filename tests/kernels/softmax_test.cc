#include "fovea/kernels/softmax.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "fovea/core/rng.h"
#include "fovea/kernels/softmax_reference.h"
#include "fovea/testing/gradcheck.h"

namespace fovea::kernels {
namespace {

constexpr std::int64_t rows = 3;
constexpr float untouched = 12345;

std::vector<double> normal_values(std::int64_t n, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<double> out;
  for (std::int64_t i = 0; i < n; ++i) out.push_back(static_cast<double>(static_cast<float>(rng.normal())));
  return out;
}
std::vector<float> narrow(const std::vector<double>& x) { return {x.begin(), x.end()}; }

// The f32 result has one element more, which no kernel may write.
void expect_near(const std::vector<float>& a, const std::vector<double>& b, const std::string& what) {
  for (std::size_t i = 0; i < b.size(); ++i) EXPECT_NEAR(static_cast<double>(a[i]), b[i], 3e-6) << what << " " << i;
  EXPECT_EQ(a[b.size()], untouched) << what;
}

TEST(SoftmaxKernel, MatchesTheReferenceForEveryTailLength) {
  for (std::int64_t n = 1; n <= 33; ++n) {
    const SoftmaxLines lines{rows, n, 1};
    const std::vector<double> x = normal_values(rows * n, 1), dy = normal_values(rows * n, 2),
                              old = normal_values(rows * n, 3);
    std::vector<double> y64(x.size()), log64(x.size());
    softmax_forward_reference(x.data(), lines, y64.data());
    log_softmax_forward_reference(x.data(), lines, log64.data());
    fovea::testing::for_each_isa([&](const std::string& isa) {
      const std::string what = isa + " n " + std::to_string(n);
      std::vector<float> y(x.size() + 1, untouched), log = y;
      softmax_forward_f32(narrow(x).data(), rows, n, y.data());
      log_softmax_forward_f32(narrow(x).data(), rows, n, log.data());
      expect_near(y, y64, what);
      expect_near(log, log64, what);
      for (bool accumulate : {false, true}) {
        std::vector<double> dx64 = old, dlog64 = old;
        softmax_backward_reference(y64.data(), dy.data(), lines, dx64.data(), accumulate);
        log_softmax_backward_reference(log64.data(), dy.data(), lines, dlog64.data(), accumulate);
        std::vector<float> dx = narrow(old);
        dx.push_back(untouched);
        std::vector<float> dlog = dx;
        softmax_backward_f32(y.data(), narrow(dy).data(), rows, n, dx.data(), accumulate);
        log_softmax_backward_f32(log.data(), narrow(dy).data(), rows, n, dlog.data(), accumulate);
        expect_near(dx, dx64, what);
        expect_near(dlog, dlog64, what);
      }
    });
  }
}

TEST(SoftmaxKernel, NanAnywhereReachesItsWholeRowAndNoOther) {
  constexpr std::int64_t n = 37;
  fovea::testing::for_each_isa([](const std::string& isa) {
    for (std::size_t place = 0; place < n; ++place) {
      std::vector<float> x = narrow(normal_values(2 * n, 1)), y(x.size()), log(x.size());
      x[place] = std::nanf("");
      softmax_forward_f32(x.data(), 2, n, y.data());
      log_softmax_forward_f32(x.data(), 2, n, log.data());
      for (std::size_t i = 0; i < x.size(); ++i) {
        EXPECT_EQ(std::isnan(y[i]), i < n) << isa << " " << place << " " << i;
        EXPECT_EQ(std::isnan(log[i]), i < n) << isa << " " << place << " " << i;
      }
    }
  });
}

TEST(SoftmaxKernel, MayWriteOverItsInput) {
  const std::vector<double> x = normal_values(21, 4);
  std::vector<double> y64(21);
  softmax_forward_reference(x.data(), {1, 21, 1}, y64.data());
  std::vector<float> y = narrow(x);
  y.push_back(untouched);
  softmax_forward_f32(y.data(), 1, 21, y.data());
  expect_near(y, y64, "in place");
}

}  // namespace
}  // namespace fovea::kernels
