// The dropout kernel against its plain form, at every tail and on every instruction set.
#include "fovea/kernels/dropout.h"

#include <gtest/gtest.h>

#include "fovea/kernels/dropout_reference.h"
#include "fovea/testing/gradcheck.h"
#include "guarded.h"

namespace fovea::kernels {
namespace {

using testing::Guarded;

void expect_agreement(std::int64_t n, RngKey key, const std::string& isa) {
  for (const bool accumulate : {false, true}) {
    Guarded x(n, 1), y(n, 2);
    const std::vector<double> wx = x.wide();
    std::vector<double> wy = y.wide();
    dropout_f32(x.data(), n, key, 0.4, {y.data(), accumulate});
    dropout_reference<double>(wx.data(), n, key, 0.4, {wy.data(), accumulate});
    EXPECT_LT(y.difference(wy), 2e-6) << isa << ", length " << n;
  }
}

TEST(DropoutKernel, AgreesWithThePlainForm) {
  testing::for_each_isa([](const std::string& isa) {
    for (std::int64_t n = 1; n <= 70; ++n) expect_agreement(n, RngKey{static_cast<std::uint64_t>(n)}, isa);
    expect_agreement(20003, RngKey{0xfedcba9876543210u}, isa);  // several chunks; a key with both halves set
  });
}

TEST(DropoutKernel, SegmentsHaveTheirOwnKeys) {
  const std::int64_t offsets[] = {0, 2, 2, 7};
  const RngKey keys[] = {{1}, {2}, {3}};
  testing::for_each_isa([&](const std::string& isa) {
    Guarded x(7 * 9, 1), y(7 * 9);
    const std::vector<double> wx = x.wide();
    std::vector<double> wy(wx.size());
    dropout_segments_f32(x.data(), offsets, keys, 3, 9, 0.4, {y.data(), false});
    dropout_segments_reference<double>(wx.data(), offsets, keys, 3, 9, 0.4, {wy.data(), false});
    EXPECT_LT(y.difference(wy), 1e-6) << isa;
  });
}

}  // namespace
}  // namespace fovea::kernels
