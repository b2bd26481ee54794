// The pooling kernels against their plain forms, at every tail and on every instruction set.
#include "fovea/kernels/pool.h"

#include <gtest/gtest.h>

#include "fovea/kernels/pool_reference.h"
#include "fovea/testing/gradcheck.h"
#include "guarded.h"

namespace fovea::kernels {
namespace {

using testing::Guarded;

constexpr std::int64_t images = 2, height = 6, width = 5;

void expect_agreement(const PoolAxis& rows, const PoolAxis& columns, std::int64_t channels, const std::string& isa) {
  SCOPED_TRACE(isa + ", channels " + std::to_string(channels));
  const PoolShape shape{images, channels, rows, columns};
  const std::int64_t in = images * height * width * channels;
  const std::int64_t out = images * rows.outputs() * columns.outputs() * channels;
  Guarded x(in, 1), largest(out), mean(out), dy(out, 2);
  const std::vector<double> wx = x.wide(), wdy = dy.wide();
  std::vector<double> wlargest(wdy.size()), wmean(wdy.size());
  std::vector<std::uint8_t> argmax(wdy.size() + 1, 77), wargmax(argmax);

  max_pool2d_f32(shape, x.data(), largest.data(), argmax.data());
  max_pool2d_reference(shape, wx.data(), wlargest.data(), wargmax.data());
  EXPECT_EQ(largest.difference(wlargest), 0);
  EXPECT_EQ(argmax, wargmax);
  Guarded again(out);
  max_pool2d_f32(shape, x.data(), again.data(), nullptr);
  EXPECT_EQ(again.difference(wlargest), 0);
  avg_pool2d_f32(shape, x.data(), mean.data());
  avg_pool2d_reference(shape, wx.data(), wmean.data());
  EXPECT_LT(mean.difference(wmean), 1e-6);

  for (const bool accumulate : {false, true}) {
    Guarded dmax(in, 3), dmean(in, 4);
    std::vector<double> wdmax = dmax.wide(), wdmean = dmean.wide();
    max_pool2d_grad_f32(shape, argmax.data(), dy.data(), {dmax.data(), accumulate});
    max_pool2d_grad_reference<double>(shape, wargmax.data(), wdy.data(), {wdmax.data(), accumulate});
    avg_pool2d_grad_f32(shape, dy.data(), {dmean.data(), accumulate});
    avg_pool2d_grad_reference<double>(shape, wdy.data(), {wdmean.data(), accumulate});
    EXPECT_LT(dmax.difference(wdmax), 2e-6);
    EXPECT_LT(dmean.difference(wdmean), 2e-6);
  }
}

TEST(PoolKernel, AgreesWithThePlainForm) {
  testing::for_each_isa([](const std::string& isa) {
    for (std::int64_t channels = 1; channels <= 33; ++channels) {
      expect_agreement(PoolAxis::sliding(height, 3, 2, 1), PoolAxis::sliding(width, 3, 2, 1), channels, isa);
    }
    expect_agreement(PoolAxis::adaptive(height, 4), PoolAxis::adaptive(width, 7), 19, isa);
    expect_agreement(PoolAxis::sliding(height, 2, 3, 0), PoolAxis::sliding(width, 2, 3, 0), 19, isa);
  });
}

TEST(PoolKernel, AxesKnowWhichWindowsHoldAnInput) {
  for (const PoolAxis& axis : {PoolAxis::sliding(9, 3, 2, 1), PoolAxis::sliding(9, 2, 4, 0),
                               PoolAxis::sliding(3, 3, 1, 0), PoolAxis::adaptive(9, 4), PoolAxis::adaptive(3, 8)}) {
    for (std::int64_t i = 0; i < axis.inputs(); ++i) {
      for (std::int64_t o = 0; o < axis.outputs(); ++o) {
        const auto at = static_cast<std::size_t>(o), in = static_cast<std::size_t>(i);
        EXPECT_EQ(axis.begin[at] <= i && i < axis.end[at], axis.first[in] <= o && o < axis.last[in]) << i << ", " << o;
      }
    }
  }
}

}  // namespace
}  // namespace fovea::kernels
