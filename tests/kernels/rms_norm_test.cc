// The rms norm kernel against the plain form, at every tail and on every instruction set.
#include "fovea/kernels/rms_norm.h"

#include <gtest/gtest.h>

#include "fovea/kernels/rms_norm_reference.h"
#include "fovea/testing/gradcheck.h"
#include "guarded.h"

namespace fovea::kernels {
namespace {

using testing::Guarded;

void expect_agreement(std::int64_t rows, std::int64_t width, const std::string& isa) {
  Guarded x(rows * width, 1), w(width, 2), y(rows * width), rstd(rows);
  const std::vector<double> wx = x.wide(), ww = w.wide();
  std::vector<double> wy(wx.size()), wrstd(static_cast<std::size_t>(rows));
  rms_norm_f32({rows, width, 0.1, x.data(), w.data(), y.data(), rstd.data()});
  rms_norm_reference<double>({rows, width, 0.1, wx.data(), ww.data(), wy.data(), wrstd.data()});
  EXPECT_LT(y.difference(wy), 2e-5) << isa << ", width " << width;
  EXPECT_LT(rstd.difference(wrstd), 1e-5) << isa << ", width " << width;

  for (const bool accumulate : {false, true}) {
    Guarded dy(rows * width, 4), dx(rows * width, 5), dw(width, 6);
    std::vector<double> wdy = dy.wide(), wdx = dx.wide(), wdw = dw.wide();
    rms_norm_grad_f32(
        {rows, width, x.data(), w.data(), rstd.data(), dy.data(), {dx.data(), accumulate}, {dw.data(), accumulate}});
    rms_norm_grad_reference<double>({rows,
                                     width,
                                     wx.data(),
                                     ww.data(),
                                     wrstd.data(),
                                     wdy.data(),
                                     {wdx.data(), accumulate},
                                     {wdw.data(), accumulate}});
    EXPECT_LT(dx.difference(wdx), 5e-5) << isa << ", width " << width;
    EXPECT_LT(dw.difference(wdw), 5e-5) << isa << ", width " << width;
  }
}

TEST(RmsNormKernel, AgreesWithThePlainForm) {
  testing::for_each_isa([](const std::string& isa) {
    for (std::int64_t width = 1; width <= 33; ++width) expect_agreement(5, width, isa);
    expect_agreement(67, 200, isa);  // several chunks of rows
  });
}

}  // namespace
}  // namespace fovea::kernels
