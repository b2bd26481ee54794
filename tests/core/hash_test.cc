#include "fovea/core/hash.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace fovea {
namespace {

// The published check of SMHasher: keys {}, {0}, {0, 1}, ... with seeds 256, 255, ...; then the hash of all hashes.
TEST(Hash, IsMurmurHash3) {
  std::vector<unsigned char> key(256), hashes(256 * 16);
  for (std::size_t i = 0; i < 256; ++i) {
    key[i] = static_cast<unsigned char>(i);
    const Hash128 hash = hash128(key.data(), i, static_cast<std::uint32_t>(256 - i));
    std::memcpy(&hashes[16 * i], &hash.low, 8);
    std::memcpy(&hashes[16 * i + 8], &hash.high, 8);
  }
  EXPECT_EQ(hash128(hashes.data(), hashes.size()).low & 0xFFFFFFFF, 0x6384BA69u);
}

}  // namespace
}  // namespace fovea
