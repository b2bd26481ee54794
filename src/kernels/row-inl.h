// Sums, maxima and exponentials of one row of f32. Included once per instruction set, after highway.h.
#include <cmath>

#include "kernels/math-inl.h"
#include "kernels/vector-inl.h"

#if defined(FOVEA_KERNELS_ROW_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FOVEA_KERNELS_ROW_INL_H_
#undef FOVEA_KERNELS_ROW_INL_H_
#else
#define FOVEA_KERNELS_ROW_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {

// Sum over all elements of term(i, lanes). Several chains of additions hide their latency.
template <class F>
HWY_INLINE float sum_lanes(std::int64_t n, F&& term) {
  const F32 d;
  const auto step = static_cast<std::int64_t>(hn::Lanes(d));
  VF32 s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
  const WholeVector whole;
  std::int64_t i = 0;
  for (; i + 4 * step <= n; i += 4 * step) {
    s0 = hn::Add(s0, term(i, whole));
    s1 = hn::Add(s1, term(i + step, whole));
    s2 = hn::Add(s2, term(i + 2 * step, whole));
    s3 = hn::Add(s3, term(i + 3 * step, whole));
  }
  for (; i + step <= n; i += step) s0 = hn::Add(s0, term(i, whole));
  if (i < n) {
    const PartialVector rest{static_cast<std::size_t>(n - i)};
    s1 = hn::Add(s1, rest.zero_rest(term(i, rest)));
  }
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))));
}

// As sum_lanes, for rows that may be long: f32 sums are carried over a block, then added up in f64.
template <class F>
HWY_INLINE double sum_blocks(std::int64_t n, F&& term) {
  constexpr std::int64_t block = 2048;
  double total = 0;
  for (std::int64_t begin = 0; begin < n; begin += block) {
    const auto block_term = [&](std::int64_t i, auto lanes) { return term(begin + i, lanes); };
    total += static_cast<double>(sum_lanes(HWY_MIN(block, n - begin), block_term));
  }
  return total;
}

HWY_INLINE float row_max(const float* x, std::int64_t n) {
  const float lowest = -__builtin_inff();
  VF32 largest = hn::Set(F32(), lowest);
  for_lanes(n, [&](std::int64_t i, auto lanes) { largest = hn::Max(largest, lanes.load(x + i, lowest)); });
  return hn::GetLane(hn::MaxOfLanes(F32(), largest));
}

HWY_INLINE double row_sum(const float* x, std::int64_t n) {
  return sum_blocks(n, [&](std::int64_t i, auto lanes) { return lanes.load(x + i); });
}

HWY_INLINE double row_dot(const float* x, const float* y, std::int64_t n) {
  return sum_blocks(n, [&](std::int64_t i, auto lanes) { return hn::Mul(lanes.load(x + i), lanes.load(y + i)); });
}

// sum_i e^(x_i - shift); the terms go to y where `keep` is set.
template <bool keep>
HWY_INLINE double row_exp_sum(const float* x, std::int64_t n, float shift, [[maybe_unused]] float* y) {
  const VF32 minus = hn::Set(F32(), shift);
  return sum_blocks(n, [&](std::int64_t i, auto lanes) {
    const VF32 term = exp(F32(), hn::Sub(lanes.load(x + i), minus));
    if constexpr (keep) lanes.store(term, y + i);
    return term;
  });
}

// log sum_i e^(x_i).
HWY_INLINE float row_logsumexp(const float* x, std::int64_t n) {
  const float largest = row_max(x, n);
  return static_cast<float>(static_cast<double>(largest) + std::log(row_exp_sum<false>(x, n, largest, nullptr)));
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
