// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <string_view>
#include <utility>

namespace fovea {

// FNV-1a, 64 bits: names streams by text (a module's path, "shuffle", ...).
constexpr std::uint64_t hash_name(std::string_view text) {
  std::uint64_t h = 0xcbf29ce484222325u;
  for (char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return h;
}

// Mixes two words into one (splitmix64's finaliser).
constexpr std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  std::uint64_t z = a + 0x9e3779b97f4a7c15u * (b + 1);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

// Which stream of numbers: a key made from seed, step, module path, global sample id, ... in any order of derive calls.
// The number at a given counter of a key never depends on what was drawn before, so micro-batches, ranks and
// recomputation draw the same ones.
struct RngKey {
  std::uint64_t value = 0;

  constexpr RngKey derive(std::uint64_t salt) const { return {mix(value, salt)}; }
  constexpr RngKey derive(std::string_view name) const { return derive(hash_name(name)); }
  friend constexpr bool operator==(RngKey, RngKey) = default;
};

// Four random words for one counter of one key.
constexpr std::array<std::uint32_t, 4> philox(RngKey key, std::uint64_t counter_low, std::uint64_t counter_high = 0) {
  std::array<std::uint32_t, 4> c{static_cast<std::uint32_t>(counter_low), static_cast<std::uint32_t>(counter_low >> 32),
                                 static_cast<std::uint32_t>(counter_high),
                                 static_cast<std::uint32_t>(counter_high >> 32)};
  auto k0 = static_cast<std::uint32_t>(key.value), k1 = static_cast<std::uint32_t>(key.value >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = 0xD2511F53ull * c[0], p1 = 0xCD9E8D57ull * c[2];
    c = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ k0, static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ k1, static_cast<std::uint32_t>(p0)};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c;
}

// A uniform number in [0, 1) from 32 random bits (24 are used, so the value is exact in f32).
constexpr double uniform_from_bits(std::uint32_t bits) { return static_cast<double>(bits >> 8) * 0x1p-24; }

// Draws numbers of one key one after another: the convenient form for loaders, initialisation and sampling.
class Rng {
 public:
  explicit Rng(RngKey key) : key_(key) {}
  explicit Rng(std::uint64_t seed) : key_{mix(seed, 0)} {}

  std::uint32_t bits() {
    if (used_ == 4) {
      block_ = philox(key_, counter_++);
      used_ = 0;
    }
    return block_[static_cast<std::size_t>(used_++)];
  }
  double uniform() { return uniform_from_bits(bits()); }                              // [0, 1)
  double uniform(double low, double high) { return low + (high - low) * uniform(); }  // [low, high)
  std::int64_t below(std::int64_t n) {                                                // 0 .. n-1, n > 0
    const std::uint64_t high = bits(), low = bits();  // named, as the order inside an expression is the compiler's
    return static_cast<std::int64_t>((high << 32 | low) % static_cast<std::uint64_t>(n));
  }
  double normal() {  // mean 0, variance 1 (Box-Muller)
    const double u = 1.0 - uniform();
    return std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586 * uniform());
  }
  // Fisher-Yates.
  template <class Range>
  void shuffle(Range& range) {
    for (std::int64_t i = static_cast<std::int64_t>(range.size()) - 1; i > 0; --i) {
      std::swap(range[static_cast<std::size_t>(i)], range[static_cast<std::size_t>(below(i + 1))]);
    }
  }

 private:
  RngKey key_;
  std::uint64_t counter_ = 0;
  std::array<std::uint32_t, 4> block_{};
  int used_ = 4;
};

}  // namespace fovea
