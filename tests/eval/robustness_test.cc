#include "fovea/eval/robustness.h"

#include <gtest/gtest.h>

#include <vector>

namespace fovea::eval {
namespace {

TEST(Robustness, ComparesGroupByGroup) {
  // Group 1: seen 1 of 2, held out 0 of 1. Group 2: seen 1 of 1, held out 1 of 1. Groups 3, 4 have one side only.
  const std::vector<SourcedAnswer> answers{{1, false, true}, {1, false, false}, {1, true, false}, {2, false, true},
                                           {2, true, true},  {3, true, true},   {4, false, false}};
  const SourceGap gap = source_gap(answers);
  EXPECT_EQ(gap.groups, 2);
  EXPECT_EQ(gap.seen_pictures, 3);
  EXPECT_EQ(gap.held_out_pictures, 2);
  EXPECT_DOUBLE_EQ(gap.seen, 75);
  EXPECT_DOUBLE_EQ(gap.held_out, 50);
  EXPECT_DOUBLE_EQ(gap.gap, 25);
  EXPECT_NEAR(gap.interval, 1.96 * 25, 1e-9);  // differences 50 and 0: deviation 35.36, over the root of 2
}

TEST(Robustness, NothingToCompare) {
  const std::vector<SourcedAnswer> answers{{1, true, true}};
  EXPECT_EQ(source_gap(answers).groups, 0);
  EXPECT_EQ(source_gap({}).gap, 0);
}

}  // namespace
}  // namespace fovea::eval
