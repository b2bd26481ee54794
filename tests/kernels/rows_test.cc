// The row kernels against their plain forms, at every tail and on every instruction set.
#include "fovea/kernels/rows.h"

#include <gtest/gtest.h>

#include "fovea/kernels/rows_reference.h"
#include "fovea/testing/gradcheck.h"
#include "guarded.h"

namespace fovea::kernels {
namespace {

using testing::Guarded;

void expect_scatter_agreement(std::int64_t width, bool accumulate, const std::string& isa) {
  const std::vector<std::int64_t> rows = {3, 70, 3, 0, 3, 69, 70};
  const auto count = static_cast<std::int64_t>(rows.size()), table_rows = std::int64_t{71};
  Guarded dy(count * width, 1), table(table_rows * width, 2);
  const std::vector<double> wdy = dy.wide();
  std::vector<double> wtable = table.wide();
  scatter_add_rows_f32(dy.data(), rows.data(), count, width, table_rows, {table.data(), accumulate});
  scatter_add_rows_reference<double>(wdy.data(), rows.data(), count, width, table_rows, {wtable.data(), accumulate});
  EXPECT_LT(table.difference(wtable), 2e-6) << isa << ", width " << width;
}

void expect_segment_agreement(std::int64_t width, bool accumulate, const std::string& isa) {
  const std::vector<std::int64_t> offsets = {0, 3, 3, 4, 11, 12};
  const auto segments = static_cast<std::int64_t>(offsets.size()) - 1, tokens = offsets.back();
  Guarded x(tokens * width, 1), means(segments * width, 2), factors(segments, 3), scaled(tokens * width, 4),
      spread(tokens * width, 5);
  const std::vector<double> wx = x.wide(), wfactors = factors.wide();
  std::vector<double> wmeans(means.wide()), wscaled = scaled.wide(), wspread = spread.wide();
  segment_mean_f32(x.data(), offsets.data(), segments, width, means.data());
  segment_mean_reference(wx.data(), offsets.data(), segments, width, wmeans.data());
  EXPECT_LT(means.difference(wmeans), 1e-6) << isa << ", width " << width;
  scale_segments_f32(x.data(), offsets.data(), factors.data(), segments, width, {scaled.data(), accumulate});
  scale_segments_reference<double>(wx.data(), offsets.data(), wfactors.data(), segments, width,
                                   {wscaled.data(), accumulate});
  EXPECT_LT(scaled.difference(wscaled), 2e-6) << isa << ", width " << width;
  spread_to_segments_f32(means.data(), offsets.data(), factors.data(), segments, width, {spread.data(), accumulate});
  spread_to_segments_reference<double>(wmeans.data(), offsets.data(), wfactors.data(), segments, width,
                                       {wspread.data(), accumulate});
  EXPECT_LT(spread.difference(wspread), 2e-6) << isa << ", width " << width;
}

TEST(RowsKernel, AgreesWithThePlainForm) {
  testing::for_each_isa([](const std::string& isa) {
    for (std::int64_t width = 1; width <= 33; ++width) {
      for (const bool accumulate : {false, true}) {
        expect_scatter_agreement(width, accumulate, isa);
        expect_segment_agreement(width, accumulate, isa);
      }
    }
  });
}

}  // namespace
}  // namespace fovea::kernels
