// Sums, maxima and exponentials of one row of f32. Included once per instruction set, after highway.h.
#include <cmath>
#include <cstddef>
#include <cstring>

#include "hwy/highway.h"
#include "kernels/math-inl.h"

#if defined(FOVEA_KERNELS_ROW_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FOVEA_KERNELS_ROW_INL_H_
#undef FOVEA_KERNELS_ROW_INL_H_
#else
#define FOVEA_KERNELS_ROW_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using RowTag = hn::ScalableTag<float>;
using RowVec = hn::Vec<RowTag>;

// f32 sums are carried over this many elements, then added up in f64.
constexpr std::size_t sum_block = 2048;

// Without masked memory operations, a partial vector goes through a buffer: a masked store that rewrites the other
// lanes would race with the thread that owns them.
#if HWY_TARGET <= HWY_AVX2
constexpr bool has_masked_memory = true;
#else
constexpr bool has_masked_memory = false;
#endif

// The first n elements at p and `rest` in the other lanes; n may exceed the lanes.
HWY_INLINE RowVec load_first(RowTag d, const float* p, std::size_t n, float rest) {
  if (n >= hn::Lanes(d)) return hn::LoadU(d, p);
  if constexpr (has_masked_memory) {
    const auto mask = hn::FirstN(d, n);
    return hn::IfThenElse(mask, hn::MaskedLoad(mask, d, p), hn::Set(d, rest));
  } else {
    HWY_ALIGN float lanes[hn::MaxLanes(RowTag())];
    hn::Store(hn::Set(d, rest), d, lanes);
    std::memcpy(lanes, p, n * sizeof(float));
    return hn::Load(d, lanes);
  }
}

// Writes the first n lanes only; n may exceed the lanes.
HWY_INLINE void store_first(RowVec v, RowTag d, float* p, std::size_t n) {
  if (n >= hn::Lanes(d)) {
    hn::StoreU(v, d, p);
  } else if constexpr (has_masked_memory) {
    hn::BlendedStore(v, hn::FirstN(d, n), d, p);
  } else {
    HWY_ALIGN float lanes[hn::MaxLanes(RowTag())];
    hn::Store(v, d, lanes);
    std::memcpy(p, lanes, n * sizeof(float));
  }
}

HWY_INLINE float sum_of_lanes(RowTag d, RowVec v) { return hn::GetLane(hn::SumOfLanes(d, v)); }

// e^x that keeps NaN, so that a broken row shows in the loss.
HWY_INLINE RowVec exp_keeping_nan(RowTag d, RowVec x) { return hn::IfThenElse(hn::IsNaN(x), x, exp(d, x)); }

HWY_INLINE float row_max(const float* x, std::size_t n) {
  const RowTag d;
  const float lowest = -__builtin_inff();
  RowVec largest = hn::Set(d, lowest);
  for (std::size_t i = 0; i < n; i += hn::Lanes(d)) {
    largest = hn::Max(largest, load_first(d, x + i, n - i, lowest));
  }
  return hn::GetLane(hn::MaxOfLanes(d, largest));
}

HWY_INLINE double row_sum(const float* x, std::size_t n) {
  const RowTag d;
  double total = 0;
  for (std::size_t begin = 0; begin < n; begin += sum_block) {
    const std::size_t end = HWY_MIN(n, begin + sum_block);
    RowVec sum = hn::Zero(d);
    for (std::size_t i = begin; i < end; i += hn::Lanes(d)) sum = hn::Add(sum, load_first(d, x + i, end - i, 0));
    total += static_cast<double>(sum_of_lanes(d, sum));
  }
  return total;
}

HWY_INLINE double row_dot(const float* x, const float* y, std::size_t n) {
  const RowTag d;
  double total = 0;
  for (std::size_t begin = 0; begin < n; begin += sum_block) {
    const std::size_t end = HWY_MIN(n, begin + sum_block);
    RowVec sum = hn::Zero(d);
    for (std::size_t i = begin; i < end; i += hn::Lanes(d)) {
      sum = hn::MulAdd(load_first(d, x + i, end - i, 0), load_first(d, y + i, end - i, 0), sum);
    }
    total += static_cast<double>(sum_of_lanes(d, sum));
  }
  return total;
}

// sum_i e^(x_i - shift); the terms go to y where `keep` is set.
template <bool keep>
HWY_INLINE double row_exp_sum(const float* x, std::size_t n, float shift, [[maybe_unused]] float* y) {
  const RowTag d;
  const RowVec minus = hn::Set(d, shift);
  double total = 0;
  for (std::size_t begin = 0; begin < n; begin += sum_block) {
    const std::size_t end = HWY_MIN(n, begin + sum_block);
    RowVec sum = hn::Zero(d);
    for (std::size_t i = begin; i < end; i += hn::Lanes(d)) {
      const RowVec term = exp_keeping_nan(d, hn::Sub(load_first(d, x + i, end - i, -__builtin_inff()), minus));
      if constexpr (keep) store_first(term, d, y + i, end - i);
      sum = hn::Add(sum, term);
    }
    total += static_cast<double>(sum_of_lanes(d, sum));
  }
  return total;
}

// log sum_i e^(x_i).
HWY_INLINE float row_logsumexp(const float* x, std::size_t n) {
  const float largest = row_max(x, n);
  return static_cast<float>(static_cast<double>(largest) + std::log(row_exp_sum<false>(x, n, largest, nullptr)));
}

// y (+)= v at the first n lanes.
HWY_INLINE void put_first(RowVec v, RowTag d, float* y, std::size_t n, bool accumulate) {
  store_first(accumulate ? hn::Add(load_first(d, y, n, 0), v) : v, d, y, n);
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
