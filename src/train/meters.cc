#include "fovea/train/meters.h"

#include <chrono>
#include <cmath>
#include <cstdio>
#include <limits>

namespace fovea::train {

double monotonic_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string format_duration(double seconds) {
  constexpr double longest = 1e9;
  if (!(seconds >= 0 && seconds < longest)) return "?";
  const long long s = std::llround(seconds);
  char text[48];
  if (s < 60) {
    std::snprintf(text, sizeof text, "%lld s", s);
  } else if (s < 3600) {
    std::snprintf(text, sizeof text, "%lld:%02lld min", s / 60, s % 60);
  } else {
    std::snprintf(text, sizeof text, "%lld:%02lld:%02lld h", s / 3600, s / 60 % 60, s % 60);
  }
  return text;
}

void Eta::update(std::int64_t done, double now) {
  constexpr double memory_steps = 50;
  if (done_ >= 0 && done > done_) {
    const auto steps = static_cast<double>(done - done_);
    const double latest = (now - time_) / steps;
    const double keep = seconds_per_step_ < 0 ? 0 : std::exp(-steps / memory_steps);
    seconds_per_step_ = keep * seconds_per_step_ + (1 - keep) * latest;
  }
  done_ = done;
  time_ = now;
}

double Eta::remaining(std::int64_t total) const {
  if (seconds_per_step_ < 0) return std::numeric_limits<double>::quiet_NaN();
  return seconds_per_step_ * static_cast<double>(total - done_);
}

}  // namespace fovea::train
