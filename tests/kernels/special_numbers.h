// NaN, infinities, zeros and numbers whose exponentials overflow, for tests of functions of one number.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace fovea {

inline constexpr float special_numbers[] = {std::numeric_limits<float>::quiet_NaN(),
                                            std::numeric_limits<float>::infinity(),
                                            -std::numeric_limits<float>::infinity(),
                                            0.0f,
                                            -0.0f,
                                            200,
                                            -200};
inline constexpr std::int64_t special_count = 37;  // copies of one, which fill whole vectors and a partial one

// Every result of f(argument) is `expected` as f32 rounds it: NaN, an infinity or a number.
inline void expect_all(const std::vector<float>& results, double expected, const std::string& what, float argument) {
  for (float result : results) {
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(result)) << what << " of " << argument << " is " << result << ", expected NaN";
    } else {
      EXPECT_FLOAT_EQ(result, static_cast<float>(expected)) << what << " of " << argument;
    }
  }
}

}  // namespace fovea
