#include "fovea/kernels/dropout.h"

#include <algorithm>
#include <cmath>

#include "fovea/core/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/dropout.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {

using I32 = hn::RebindToSigned<F32>;

#if HWY_TARGET == HWY_SCALAR

constexpr std::int64_t max_block_words = 4;

inline std::int64_t block_words() { return 4; }
inline void random_words(RngKey key, std::uint64_t counter, std::uint32_t* words) {
  const auto block = philox(key, counter);
  std::copy(block.begin(), block.end(), words);
}

#else

using U64 = hn::ScalableTag<std::uint64_t>;
using U32 = hn::Repartition<std::uint32_t, U64>;
using VU64 = hn::Vec<U64>;

constexpr std::int64_t max_block_words = 4 * hn::MaxLanes(U64());

inline std::int64_t block_words() { return 4 * static_cast<std::int64_t>(hn::Lanes(U64())); }

// Product of the lower halves of each lane.
HWY_INLINE VU64 multiply_low(VU64 a, std::uint32_t b) { return hn::MulEven(hn::BitCast(U32(), a), hn::Set(U32(), b)); }

// The words of as many Philox counters as a vector has 64-bit lanes, from `counter` on. A lane holds one word in its
// lower half; what the rounds leave in the upper half never reaches a lower one.
HWY_INLINE void random_words(RngKey key, std::uint64_t counter, std::uint32_t* words) {
  const U64 d;
  VU64 c0 = hn::Add(hn::Set(d, counter), hn::Iota(d, 0)), c1 = hn::ShiftRight<32>(c0);
  VU64 c2 = hn::Zero(d), c3 = hn::Zero(d);
  auto k0 = static_cast<std::uint32_t>(key.value), k1 = static_cast<std::uint32_t>(key.value >> 32);
  for (int round = 0; round < 10; ++round) {
    const VU64 p0 = multiply_low(c0, 0xD2511F53u), p1 = multiply_low(c2, 0xCD9E8D57u);
    c0 = hn::Xor(hn::Xor(hn::ShiftRight<32>(p1), c1), hn::Set(d, k0));
    c1 = p1;
    c2 = hn::Xor(hn::Xor(hn::ShiftRight<32>(p0), c3), hn::Set(d, k1));
    c3 = p0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  const VU64 low = hn::Set(d, 0xFFFFFFFFu);
  const VU64 first = hn::Or(hn::And(c0, low), hn::ShiftLeft<32>(c1));
  const VU64 second = hn::Or(hn::And(c2, low), hn::ShiftLeft<32>(c3));
  HWY_ALIGN std::uint64_t pairs[2 * hn::MaxLanes(U64())];
  hn::StoreInterleaved2(first, second, d, pairs);
  std::memcpy(words, pairs, 2 * hn::Lanes(d) * sizeof(std::uint64_t));
}

#endif

// The elements [begin, end) of a run; `begin` is a multiple of four. A number of 24 bits is kept from `threshold` on.
void dropout_range(const float* x, std::int64_t begin, std::int64_t end, RngKey key, std::int32_t threshold,
                   float scale, const GradTarget<float>& y) {
  const VF32 by = hn::Set(F32(), scale);
  const auto least_dropped = hn::Set(I32(), threshold - 1);
  HWY_ALIGN std::uint32_t words[max_block_words];
  for (std::int64_t block = begin; block < end; block += block_words()) {
    random_words(key, static_cast<std::uint64_t>(block) / 4, words);
    for_lanes(std::min(block_words(), end - block), [&](std::int64_t i, auto lanes) {
      // The words of a whole vector always exist, also where the elements end.
      const auto bits = hn::LoadU(hn::RebindToUnsigned<F32>(), words + i);
      const auto kept = hn::Gt(hn::BitCast(I32(), hn::ShiftRight<8>(bits)), least_dropped);
      const VF32 v = hn::Mul(by, lanes.load(x + block + i));
      const VF32 result = hn::IfThenElseZero(hn::RebindMask(F32(), kept), v);
      store_or_add(lanes, result, y.data + block + i, y.accumulate);
    });
  }
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::kernels {

HWY_EXPORT(dropout_range);

namespace {

void drop(const float* x, std::int64_t begin, std::int64_t end, RngKey key, double p, const GradTarget<float>& y) {
  const auto threshold = static_cast<std::int32_t>(std::ceil(p * 0x1p24));  // uniform_from_bits(bits) >= p
  HWY_DYNAMIC_DISPATCH(dropout_range)(x, begin, end, key, threshold, static_cast<float>(1 / (1 - p)), y);
}

}  // namespace

void dropout_f32(const float* x, std::int64_t n, RngKey key, double p, const GradTarget<float>& y) {
  parallel_for(n, 8192, [&](std::int64_t begin, std::int64_t end) { drop(x, begin, end, key, p, y); });
}

void dropout_segments_f32(const float* x, const std::int64_t* offsets, const RngKey* keys, std::int64_t segments,
                          std::int64_t width, double p, const GradTarget<float>& y) {
  parallel_for(segments, 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t b = first; b < last; ++b) {
      const std::int64_t begin = offsets[b] * width, end = offsets[b + 1] * width;
      drop(x + begin, 0, end - begin, keys[b], p, {y.data + begin, y.accumulate});
    }
  });
}

}  // namespace fovea::kernels
#endif
