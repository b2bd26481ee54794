// The unit-length kernel against its plain form, at every tail and on every instruction set.
#include "fovea/kernels/normalize.h"

#include <gtest/gtest.h>

#include "fovea/kernels/normalize_reference.h"
#include "fovea/testing/gradcheck.h"
#include "guarded.h"

namespace fovea::kernels {
namespace {

using testing::Guarded;

void expect_agreement(std::int64_t rows, std::int64_t width, double eps, const std::string& isa) {
  Guarded x(rows * width, 1), y(rows * width), norm(rows), dy(rows * width, 2);
  const std::vector<double> wx = x.wide(), wdy = dy.wide();
  std::vector<double> wy(wx.size()), wnorm(static_cast<std::size_t>(rows));
  l2_normalize_f32(x.data(), rows, width, eps, y.data(), norm.data());
  l2_normalize_reference(wx.data(), rows, width, eps, wy.data(), wnorm.data());
  EXPECT_LT(y.difference(wy), 1e-6) << isa << ", width " << width;
  EXPECT_LT(norm.difference(wnorm), 1e-5) << isa << ", width " << width;
  for (const bool accumulate : {false, true}) {
    Guarded dx(rows * width, 3);
    std::vector<double> wdx = dx.wide();
    l2_normalize_grad_f32(y.data(), norm.data(), dy.data(), rows, width, eps, {dx.data(), accumulate});
    l2_normalize_grad_reference<double>(wy.data(), wnorm.data(), wdy.data(), rows, width, eps,
                                        {wdx.data(), accumulate});
    EXPECT_LT(dx.difference(wdx), 1e-5) << isa << ", width " << width;
  }
}

TEST(NormalizeKernel, AgreesWithThePlainForm) {
  testing::for_each_isa([](const std::string& isa) {
    for (std::int64_t width = 1; width <= 33; ++width) expect_agreement(4, width, 0.5, isa);
    expect_agreement(70, 150, 1e-12, isa);
  });
}

}  // namespace
}  // namespace fovea::kernels
