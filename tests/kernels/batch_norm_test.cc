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

void expect_agreement(std::int64_t rows, std::int64_t channels, Activation activation, const std::string& isa) {
  SCOPED_TRACE(isa + ", channels " + std::to_string(channels) + ", activation " +
               std::to_string(static_cast<int>(activation)));
  const bool relu = activation == Activation::relu, none = activation == Activation::none;
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
  batch_norm_f32({rows, channels, x.data(), w.data(), b.data(), relu || none ? residual.data() : nullptr,
                  actual.mean.data(), actual.rstd.data(), activation, y.data()});
  batch_norm_reference<double>({rows, channels, wx.data(), ww.data(), wb.data(), relu || none ? wres.data() : nullptr,
                                exact.mean.data(), exact.rstd.data(), activation, wy.data()});
  EXPECT_LT(y.difference(wy), 1e-5);

  const BatchNormInput<float> in{rows,     channels,  x.data(),           relu ? y.data() : nullptr, w.data(),
                                 b.data(), dy.data(), actual.mean.data(), actual.rstd.data(),        activation};
  const BatchNormInput<double> exact_in{
      rows,      channels,   wx.data(),         relu ? wy.data() : nullptr, ww.data(),
      wb.data(), wdy.data(), exact.mean.data(), exact.rstd.data(),          activation};
  Statistics sums(channels), exact_sums(channels);
  batch_norm_sums_f32(in, sums.mean.data(), sums.variance.data());
  batch_norm_sums_reference(exact_in, exact_sums.mean.data(), exact_sums.variance.data());
  EXPECT_LT(largest_difference(sums.mean, exact_sums.mean), 1e-4);
  EXPECT_LT(largest_difference(sums.variance, exact_sums.variance), 1e-4);

  for (const bool accumulate : {false, true}) {
    Guarded dx(n, 6), dres(n, 7);
    std::vector<double> wdx = dx.wide(), wdres = dres.wide();
    batch_norm_grad_f32(
        {in, sums.mean.data(), sums.variance.data(), {dx.data(), accumulate}, {dres.data(), accumulate}});
    batch_norm_grad_reference<double>({exact_in,
                                       exact_sums.mean.data(),
                                       exact_sums.variance.data(),
                                       {wdx.data(), accumulate},
                                       {wdres.data(), accumulate}});
    EXPECT_LT(dx.difference(wdx), 2e-5);
    EXPECT_LT(dres.difference(wdres), relu || none ? 1e-6 : 5e-6);  // the derivative is an approximation
  }
}

TEST(BatchNormKernel, AgreesWithThePlainForm) {
  testing::for_each_isa([](const std::string& isa) {
    constexpr Activation all[]{Activation::none, Activation::relu,      Activation::silu,
                               Activation::gelu, Activation::gelu_tanh, Activation::quick_gelu};
    for (std::int64_t channels = 1; channels <= 33; ++channels) expect_agreement(7, channels, all[channels % 6], isa);
    for (const Activation activation : all) expect_agreement(1300, 40, activation, isa);  // several chunks of rows
  });
}

}  // namespace
}  // namespace fovea::kernels
