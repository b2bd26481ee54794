#include "fovea/kernels/bfloat16.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "fovea/core/cpu.h"
#include "fovea/core/rng.h"
#include "fovea/kernels/bfloat16_reference.h"

namespace fovea::kernels {
namespace {

// Any bits, with ties, infinities, NaNs and numbers that round up to the next power of two or to infinity.
std::vector<float> numbers(std::int64_t n) {
  std::vector<float> x;
  for (const std::uint32_t word : {0u, 0x80000000u, 0x3f808000u, 0x3f818000u, 0x3f808001u, 0x3f807fffu, 0x3fffffffu,
                                   0x7f7fffffu, 0x7f800000u, 0xff800000u, 0x7fc00000u, 0x7f800001u, 0xffffffffu, 1u}) {
    x.push_back(std::bit_cast<float>(word));
  }
  for (std::int64_t i = 0; static_cast<std::int64_t>(x.size()) < n; ++i) {
    x.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(philox(RngKey{3}, static_cast<std::uint64_t>(i))[0])));
  }
  x.resize(static_cast<std::size_t>(n));
  return x;
}

TEST(Bfloat16, RoundsToNearestEvenAndBackOnEveryInstructionSet) {
  const cpu::Isa active = cpu::active_isa();
  for (const cpu::Isa isa : cpu::available_isas()) {
    cpu::set_max_isa(isa);
    for (const std::int64_t n : {0, 1, 7, 16, 33, 100000}) {
      const std::vector<float> x = numbers(n);
      std::vector<bfloat16> y(x.size()), expected(x.size());
      round_to_bf16(x.data(), n, y.data());
      round_to_bf16_reference(x.data(), n, expected.data());
      std::vector<float> back(x.size());
      widen_bf16(y.data(), n, back.data());
      for (std::size_t i = 0; i < x.size(); ++i) {
        ASSERT_EQ(y[i].bits, expected[i].bits) << cpu::to_string(isa) << " " << x[i];
        ASSERT_EQ(std::bit_cast<std::uint32_t>(back[i]), static_cast<std::uint32_t>(y[i].bits) << 16);
      }
    }
  }
  cpu::set_max_isa(active);
}

}  // namespace
}  // namespace fovea::kernels
