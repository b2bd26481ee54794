#include "fovea/core/hash.h"

#include <bit>
#include <cstring>

namespace fovea {
namespace {

constexpr std::uint64_t c1 = 0x87c37b91114253d5, c2 = 0x4cf5ad432745937f;

std::uint64_t mix_first(std::uint64_t k) { return std::rotl(k * c1, 31) * c2; }
std::uint64_t mix_second(std::uint64_t k) { return std::rotl(k * c2, 33) * c1; }

std::uint64_t avalanche(std::uint64_t k) {
  k = (k ^ (k >> 33)) * 0xff51afd7ed558ccd;
  k = (k ^ (k >> 33)) * 0xc4ceb9fe1a85ec53;
  return k ^ (k >> 33);
}

}  // namespace

Hash128 hash128(const void* data, std::size_t bytes, std::uint32_t seed) {
  const auto* at = static_cast<const unsigned char*>(data);
  std::uint64_t h1 = seed, h2 = seed;
  std::uint64_t block[2];
  for (std::size_t left = bytes; left >= sizeof block; left -= sizeof block, at += sizeof block) {
    std::memcpy(block, at, sizeof block);
    h1 = (std::rotl(h1 ^ mix_first(block[0]), 27) + h2) * 5 + 0x52dce729;
    h2 = (std::rotl(h2 ^ mix_second(block[1]), 31) + h1) * 5 + 0x38495ab5;
  }
  block[0] = block[1] = 0;
  if (bytes % sizeof block != 0) std::memcpy(block, at, bytes % sizeof block);
  h2 ^= mix_second(block[1]) ^ bytes;
  h1 ^= mix_first(block[0]) ^ bytes;
  h1 += h2;
  h2 += h1;
  h1 = avalanche(h1);
  h2 = avalanche(h2);
  h1 += h2;
  h2 += h1;
  return {h1, h2};
}

}  // namespace fovea
