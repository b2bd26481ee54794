// Averages, speeds, durations, time left.
#include "fovea/train/meters.h"

#include <gtest/gtest.h>

#include <cmath>

namespace fovea::train {
namespace {

TEST(Meters, AverageIsWeightedAndStartsAnew) {
  Average average;
  EXPECT_EQ(average.value(), 0);
  average.add(1, 3);
  average.add(5);
  EXPECT_DOUBLE_EQ(average.value(), 2);
  average.reset();
  average.add(7);
  EXPECT_DOUBLE_EQ(average.value(), 7);
}

TEST(Meters, StepTimerSplitsTheTimeOfAStep) {
  StepTimer timer;
  EXPECT_EQ(timer.pairs_per_second(), 0);
  EXPECT_EQ(timer.step_ms(), 0);
  timer.add(256, 0.1, 0.4);
  timer.add(256, 0.3, 0.2);
  EXPECT_NEAR(timer.data_wait_ms(), 200, 1e-9);
  EXPECT_NEAR(timer.step_ms(), 300, 1e-9);
  EXPECT_NEAR(timer.pairs_per_second(), 512, 1e-9);
  timer.reset();
  EXPECT_EQ(timer.data_wait_ms(), 0);
}

TEST(Meters, EtaFollowsTheSpeed) {
  Eta eta;
  EXPECT_TRUE(std::isnan(eta.remaining(100)));
  eta.update(1, 10);
  EXPECT_TRUE(std::isnan(eta.remaining(100)));
  eta.update(3, 14);
  EXPECT_DOUBLE_EQ(eta.remaining(103), 200);  // 2 s a step
  double now = 14;
  for (int step = 4; step < 1000; ++step) eta.update(step, now += 0.5);
  EXPECT_NEAR(eta.remaining(1999), 500, 1e-3);  // the slow start is forgotten
  EXPECT_EQ(eta.remaining(999), 0);
  eta.update(999, now);  // no step since
  EXPECT_NEAR(eta.remaining(1999), 500, 1e-3);
}

TEST(Meters, DurationsAreReadable) {
  EXPECT_EQ(format_duration(0), "0 s");
  EXPECT_EQ(format_duration(59.4), "59 s");
  EXPECT_EQ(format_duration(59.6), "1:00 min");
  EXPECT_EQ(format_duration(187), "3:07 min");
  EXPECT_EQ(format_duration(3765), "1:02:45 h");
  EXPECT_EQ(format_duration(360000), "100:00:00 h");
  EXPECT_EQ(format_duration(-1), "?");
  EXPECT_EQ(format_duration(NAN), "?");
  EXPECT_EQ(format_duration(INFINITY), "?");
}

TEST(Meters, TheClockGoesForward) {
  const double before = monotonic_seconds();
  EXPECT_GE(monotonic_seconds(), before);
}

}  // namespace
}  // namespace fovea::train
