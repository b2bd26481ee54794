#include "fovea/optim/schedule.h"

#include <gtest/gtest.h>

namespace fovea::optim {
namespace {

// open_clip_torch 2.32, scheduler.py: cosine_lr(_, 0.5, 3, 11), const_lr(_, 0.5, 3, 11) and
// const_lr_cooldown(_, 0.5, 3, 11, 5, power, 0.1), asked for steps 0 .. 10.
constexpr double cosine[] = {0.16666666666666666,
                             0.3333333333333333,
                             0.5,
                             0.5,
                             0.4809698831278217,
                             0.42677669529663687,
                             0.34567085809127246,
                             0.25,
                             0.15432914190872757,
                             0.07322330470336313,
                             0.019030116872178315};
constexpr double constant[] = {0.16666666666666666, 0.3333333333333333, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5};
constexpr double cooldown_line[] = {0.16666666666666666, 0.3333333333333333,  0.5,  0.5, 0.5, 0.5, 0.5,
                                    0.42000000000000004, 0.33999999999999997, 0.26, 0.18};
constexpr double cooldown_square[] = {
    0.16666666666666666, 0.3333333333333333, 0.5, 0.5, 0.5, 0.5, 0.5, 0.3560000000000001, 0.244,
    0.16400000000000003, 0.11599999999999999};

TEST(Schedule, EqualsOpenClip) {
  for (std::int64_t step = 0; step < 11; ++step) {
    SCOPED_TRACE(step);
    EXPECT_NEAR((Schedule{ScheduleKind::cosine, 0.5, 3, 11}(step)), cosine[step], 1e-15);
    EXPECT_NEAR((Schedule{ScheduleKind::constant, 0.5, 3, 11}(step)), constant[step], 1e-15);
    Schedule cooldown{ScheduleKind::constant_cooldown, 0.5, 3, 11, 5, 0.1};
    EXPECT_NEAR(cooldown(step), cooldown_line[step], 1e-15);
    cooldown.cooldown_power = 2;
    EXPECT_NEAR(cooldown(step), cooldown_square[step], 1e-15);
  }
}

// tf.keras.optimizers.schedules.PolynomialDecay(0.5, 8, end_learning_rate=0, power=1) behind three steps of warm-up.
TEST(Schedule, LinearEqualsCoyoAlign) {
  constexpr double expected[] = {0,     0.5 / 3, 1.0 / 3, 0.5,    0.4375, 0.375, 0.3125,
                                 0.25, 0.1875,  0.125,   0.0625, 0,      0};
  for (std::int64_t step = 0; step < 13; ++step)
    EXPECT_NEAR((Schedule{ScheduleKind::linear, 0.5, 3, 11}(step)), expected[step], 1e-15) << step;
}

TEST(Schedule, StaysAtItsEndAndNeedsNoWarmupOrCooldown) {
  EXPECT_NEAR((Schedule{ScheduleKind::cosine, 0.5, 3, 11}(20)), 0, 1e-15);
  EXPECT_EQ((Schedule{ScheduleKind::cosine, 0.5, 0, 1}(0)), 0.5);
  EXPECT_EQ((Schedule{ScheduleKind::constant_cooldown, 0.5, 0, 4}(3)), 0.5);
  EXPECT_EQ((Schedule{ScheduleKind::constant_cooldown, 0.5, 0, 4, 2, 0.25}(9)), 0.25);
}

}  // namespace
}  // namespace fovea::optim
