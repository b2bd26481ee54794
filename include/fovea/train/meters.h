// Averages and speeds between two lines of a log.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "fovea/core/export.h"

namespace fovea::train {

// Seconds on a clock that never jumps, from an arbitrary start.
FOVEA_API double monotonic_seconds();

// "42 s", "3:07 min", "1:02:45 h"; "?" when the number is negative or not finite.
FOVEA_API std::string format_duration(double seconds);

// The mean of what was added since the last reset.
class Average {
 public:
  Average() = default;
  Average(double sum, double weight) : sum_(sum), weight_(weight) {}  // as they were read off another one

  void add(double value, double weight = 1) {
    sum_ += weight * value;
    weight_ += weight;
  }
  double value() const { return weight_ > 0 ? sum_ / weight_ : 0; }  // 0 when nothing was added
  double sum() const { return sum_; }
  double weight() const { return weight_; }
  void reset() { *this = {}; }

 private:
  double sum_ = 0, weight_ = 0;
};

// Where the time of training steps goes: each waits for its batch, then computes.
class StepTimer {
 public:
  void add(std::int64_t pairs, double wait_seconds, double compute_seconds) {
    ++steps_;
    pairs_ += pairs;
    wait_ += wait_seconds;
    compute_ += compute_seconds;
  }
  // Means since the last reset; 0 before the first step.
  double data_wait_ms() const { return steps_ > 0 ? 1e3 * wait_ / static_cast<double>(steps_) : 0; }
  double step_ms() const { return steps_ > 0 ? 1e3 * compute_ / static_cast<double>(steps_) : 0; }  // without the wait
  double pairs_per_second() const {
    const double seconds = wait_ + compute_;
    return seconds > 0 ? static_cast<double>(pairs_) / seconds : 0;
  }
  void reset() { *this = {}; }

  // Everything it counts, to be put into a file and read back.
  std::array<double, 4> numbers() const {
    return {static_cast<double>(steps_), static_cast<double>(pairs_), wait_, compute_};
  }
  static StepTimer from_numbers(const std::array<double, 4>& numbers) {
    StepTimer timer;
    timer.steps_ = static_cast<std::int64_t>(numbers[0]), timer.pairs_ = static_cast<std::int64_t>(numbers[1]);
    timer.wait_ = numbers[2], timer.compute_ = numbers[3];
    return timer;
  }

 private:
  std::int64_t steps_ = 0, pairs_ = 0;
  double wait_ = 0, compute_ = 0;  // seconds
};

// How long a run will still take, from a moving average of its speed that forgets older steps.
class Eta {
 public:
  // Says that `done` steps (counted from the start of the run) are finished at time `now`, in seconds on any clock.
  void update(std::int64_t done, double now);
  // Seconds until step `total`; NaN before two updates.
  double remaining(std::int64_t total) const;

 private:
  std::int64_t done_ = -1;
  double time_ = 0, seconds_per_step_ = -1;
};

}  // namespace fovea::train
