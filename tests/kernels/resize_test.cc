#include "fovea/kernels/resize.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "fovea/core/rng.h"
#include "fovea/kernels/resize_reference.h"
#include "fovea/testing/gradcheck.h"

namespace fovea {
namespace {

using kernels::ResizeAxis;

std::vector<std::uint8_t> random_bytes(std::int64_t n, Rng& rng) {
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(n));
  // Many extremes: sums that must be clamped.
  for (std::uint8_t& byte : bytes)
    byte = static_cast<std::uint8_t>(std::clamp<std::int64_t>(rng.below(512) - 128, 0, 255));
  return bytes;
}

// Windows anywhere, with weights of both signs whose results often overshoot.
ResizeAxis random_axis(int inputs, int outputs, int taps, Rng& rng) {
  ResizeAxis axis{inputs, outputs, taps, {}, {}, {}};
  axis.weights.resize(static_cast<std::size_t>(outputs * taps));
  for (int o = 0; o < outputs; ++o) {
    const int count = 1 + static_cast<int>(rng.below(std::min(taps, inputs)));
    axis.first.push_back(static_cast<int>(rng.below(inputs - count + 1)));
    axis.count.push_back(count);
    // Sums up to 2^31 - 2^23.
    const std::int64_t largest = (std::int64_t{1} << 23) / count - (1 << 15) / count;
    for (int k = 0; k < count; ++k) {
      axis.weights[static_cast<std::size_t>(o * taps + k)] =
          static_cast<std::int32_t>(rng.below(largest + largest / 2) - largest / 2);
    }
  }
  return axis;
}

// Watched bytes around the result.
struct Result {
  static constexpr std::uint8_t guard = 0xA5;
  static constexpr std::size_t margin = 67;
  std::vector<std::uint8_t> bytes;

  explicit Result(std::int64_t n) : bytes(static_cast<std::size_t>(n) + 2 * margin, guard) {}
  std::uint8_t* data() { return bytes.data() + margin; }
};

TEST(ResizeKernelTest, EqualsTheReferenceAtRandomSizes) {
  testing::for_each_isa([](const std::string& isa) {
    Rng rng(5);
    for (int i = 0; i < 150; ++i) {
      const int inputs = 1 + static_cast<int>(rng.below(90)), outputs = 1 + static_cast<int>(rng.below(70));
      const int other = 1 + static_cast<int>(rng.below(40)), taps = 1 + static_cast<int>(rng.below(14));
      const ResizeAxis axis = random_axis(inputs, outputs, taps, rng);
      const std::string what =
          isa + ": " + std::to_string(inputs) + " to " + std::to_string(outputs) + " by " + std::to_string(other);
      {
        // `other` rows of `inputs` pixels, in a wider picture.
        const auto in_stride = static_cast<std::size_t>(3 * inputs + static_cast<int>(rng.below(9)));
        const auto out_stride = static_cast<std::size_t>(3 * outputs + static_cast<int>(rng.below(9)));
        const auto x = random_bytes(static_cast<std::int64_t>(in_stride) * (other - 1) + 3 * inputs, rng);
        Result y(static_cast<std::int64_t>(out_stride) * other), expected = y;
        kernels::resize_columns_u8(axis, other, {x.data(), in_stride}, {y.data(), out_stride});
        kernels::resize_columns_reference(axis, other, {x.data(), in_stride}, {expected.data(), out_stride});
        ASSERT_EQ(y.bytes, expected.bytes) << what << ", columns";
      }
      const auto stride = static_cast<std::size_t>(3 * other + static_cast<int>(rng.below(9)));
      const auto x = random_bytes(static_cast<std::int64_t>(stride) * (inputs - 1) + 3 * other, rng);
      Result y(static_cast<std::int64_t>(stride) * outputs), expected = y;
      kernels::resize_rows_u8(axis, other, {x.data(), stride}, {y.data(), stride});
      kernels::resize_rows_reference(axis, other, {x.data(), stride}, {expected.data(), stride});
      ASSERT_EQ(y.bytes, expected.bytes) << what << ", rows";
    }
  });
}

}  // namespace
}  // namespace fovea
