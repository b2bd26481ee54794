// Arrays whose surroundings are watched, for tests of kernels at every length.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "fovea/core/rng.h"

namespace fovea::testing {

// n random normal numbers (zeros without a seed) between NaNs: what a kernel reads beyond its end spoils its result,
// and what it writes there shows in intact().
class Guarded {
 public:
  explicit Guarded(std::int64_t n, std::uint64_t seed = 0) : all_(static_cast<std::size_t>(n) + 2 * margin, guard()) {
    Rng rng(seed);
    for (std::int64_t i = 0; i < n; ++i) data()[i] = seed ? static_cast<float>(rng.normal()) : 0.0f;
  }

  float* data() { return all_.data() + margin; }
  std::int64_t size() const { return static_cast<std::int64_t>(all_.size() - 2 * margin); }
  std::vector<double> wide() { return {data(), data() + size()}; }
  bool intact() const {
    for (std::size_t i = 0; i < margin; ++i) {
      if (!std::isnan(all_[i]) || !std::isnan(all_[all_.size() - 1 - i])) return false;
    }
    return true;
  }
  // Largest difference to `expected`, infinite when something outside was touched or a value is NaN.
  double difference(const std::vector<double>& expected) {
    double worst = intact() ? 0 : std::numeric_limits<double>::infinity();
    for (std::int64_t i = 0; i < size(); ++i) {
      const double d = std::abs(static_cast<double>(data()[i]) - expected[static_cast<std::size_t>(i)]);
      worst = std::isnan(d) ? std::numeric_limits<double>::infinity() : std::max(worst, d);
    }
    return worst;
  }

 private:
  static constexpr std::size_t margin = 35;  // more than any vector has lanes, and odd: nothing is aligned
  static float guard() { return std::numeric_limits<float>::quiet_NaN(); }
  std::vector<float> all_;
};

}  // namespace fovea::testing
