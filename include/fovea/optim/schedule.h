// Learning-rate schedules.
#pragma once

#include <cmath>
#include <cstdint>

namespace fovea::optim {

// What follows the warm-up: open_clip's `cosine`, `const` and `const-cooldown`; ALIGN's `linear`.
enum class ScheduleKind : std::uint8_t { cosine, constant, constant_cooldown, linear };

// The learning rate of every step of a run (open_clip, scheduler.py). `step` counts training steps from 0 and is asked
// before the step. A linear warm-up, base * (step + 1) / warmup, is followed by
//   cosine             half a cosine (Loshchilov & Hutter 2017, eq. 5), which would reach zero at step = total;
//   constant           base;
//   constant_cooldown  base, and in the last `cooldown` steps (1 - e / cooldown)^power (base - end) + end after e of
//   them;
//   linear             base * (1 - share of the steps behind the warm-up), which would reach zero at step = total. Its
//                      warm-up begins at zero, base * step / warmup (kakaobrain/coyo-align, warmup_lr.py).
struct Schedule {
  ScheduleKind kind = ScheduleKind::cosine;
  double base = 1e-3;
  std::int64_t warmup = 0, total = 1;  // steps
  std::int64_t cooldown = 0;           // steps
  double cooldown_end = 0, cooldown_power = 1;

  double operator()(std::int64_t step) const {
    const std::int64_t first = kind == ScheduleKind::linear ? 0 : 1;
    if (step < warmup) return base * static_cast<double>(step + first) / static_cast<double>(warmup);
    if (kind == ScheduleKind::linear) return base * (1 - share(step - warmup, total - warmup));
    if (kind == ScheduleKind::cosine) {
      return 0.5 * (1 + std::cos(3.14159265358979323846 * share(step - warmup, total - warmup))) * base;
    }
    const std::int64_t start = total - cooldown;
    if (kind == ScheduleKind::constant || step < start) return base;
    return std::pow(1 - share(step - start, cooldown), cooldown_power) * (base - cooldown_end) + cooldown_end;
  }

 private:
  // At most all, also beyond the planned end.
  static double share(std::int64_t done, std::int64_t all) {
    return all > 0 ? std::fmin(static_cast<double>(done) / static_cast<double>(all), 1.0) : 1;
  }
};

}  // namespace fovea::optim
