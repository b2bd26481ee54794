// The batch norm kernels against their plain forms, at every tail and on every instruction set.
#include "fovea/kernels/batch_norm.h"

#include <gtest/gtest.h>

#include "fovea/kernels/batch_norm_reference.h"
#include "fovea/testing/gradcheck.h"
#include "guarded.h"

namespace fovea::kernels {
namespace {

using testing::Guarded;

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(a[i] - b[i]));
  return worst;
}

struct Statistics {
  std::vector<double> mean, variance, rstd;

  explicit Statistics(std::int64_t channels) : mean(static_cast<std::size_t>(channels)), variance(mean), rstd(mean) {}
  void finish() {
    for (std::size_t c = 0; c < mean.size(); ++c) rstd[c] = 1 / std::sqrt(variance[c] + 0.1);
  }
};

void expect_agreement(std::int64_t rows, std::int64_t channels, bool relu, const std::string& isa) {
  SCOPED_TRACE(isa + ", channels " + std::to_string(channels) + (relu ? ", relu" : ""));
  const std::int64_t n = rows * channels;
  Guarded x(n, 1), w(channels, 2), b(channels, 3), residual(n, 4), y(n), dy(n, 5);
  const std::vector<double> wx = x.wide(), ww = w.wide(), wb = b.wide(), wres = residual.wide(), wdy = dy.wide();
  Statistics actual(channels), exact(channels);
  channel_moments_f32(x.data(), rows, channels, actual.mean.data(), actual.variance.data());
  channel_moments_reference(wx.data(), rows, channels, exact.mean.data(), exact.variance.data());
  EXPECT_LT(largest_difference(actual.mean, exact.mean), 1e-6);
  EXPECT_LT(largest_difference(actual.variance, exact.variance), 1e-5);
  actual.finish(), exact.finish();

  std::vector<double> wy(wx.size());
  batch_norm_f32({rows, channels, x.data(), w.data(), b.data(), residual.data(), actual.mean.data(), actual.rstd.data(),
                  relu, y.data()});
  batch_norm_reference<double>({rows, channels, wx.data(), ww.data(), wb.data(), wres.data(), exact.mean.data(),
                                exact.rstd.data(), relu, wy.data()});
  EXPECT_LT(y.difference(wy), 1e-5);

  const float* output = relu ? y.data() : nullptr;
  const double* exact_output = relu ? wy.data() : nullptr;
  Statistics sums(channels), exact_sums(channels);
  batch_norm_sums_f32({rows, channels, x.data(), output, dy.data(), actual.mean.data(), actual.rstd.data(),
                       sums.mean.data(), sums.variance.data()});
  batch_norm_sums_reference<double>({rows, channels, wx.data(), exact_output, wdy.data(), exact.mean.data(),
                                     exact.rstd.data(), exact_sums.mean.data(), exact_sums.variance.data()});
  EXPECT_LT(largest_difference(sums.mean, exact_sums.mean), 1e-4);
  EXPECT_LT(largest_difference(sums.variance, exact_sums.variance), 1e-4);

  for (const bool accumulate : {false, true}) {
    Guarded dx(n, 6), dres(n, 7);
    std::vector<double> wdx = dx.wide(), wdres = dres.wide();
    batch_norm_grad_f32({rows,
                         channels,
                         x.data(),
                         output,
                         w.data(),
                         dy.data(),
                         actual.mean.data(),
                         actual.rstd.data(),
                         sums.mean.data(),
                         sums.variance.data(),
                         {dx.data(), accumulate},
                         {dres.data(), accumulate}});
    batch_norm_grad_reference<double>({rows,
                                       channels,
                                       wx.data(),
                                       exact_output,
                                       ww.data(),
                                       wdy.data(),
                                       exact.mean.data(),
                                       exact.rstd.data(),
                                       exact_sums.mean.data(),
                                       exact_sums.variance.data(),
                                       {wdx.data(), accumulate},
                                       {wdres.data(), accumulate}});
    EXPECT_LT(dx.difference(wdx), 2e-5);
    EXPECT_LT(dres.difference(wdres), 1e-6);
  }
}

TEST(BatchNormKernel, AgreesWithThePlainForm) {
  testing::for_each_isa([](const std::string& isa) {
    for (std::int64_t channels = 1; channels <= 33; ++channels) expect_agreement(7, channels, channels % 2, isa);
    expect_agreement(1300, 40, true, isa);  // several chunks of rows, the last one not full
  });
}

}  // namespace
}  // namespace fovea::kernels
