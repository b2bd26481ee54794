// Loops over arrays of any length: whole vectors, then one partial vector. Included once per instruction set.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "hwy/highway.h"

#if defined(FOVEA_KERNELS_LANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FOVEA_KERNELS_LANES_INL_H_
#undef FOVEA_KERNELS_LANES_INL_H_
#else
#define FOVEA_KERNELS_LANES_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;
using VF32 = hn::Vec<F32>;

// All lanes of a vector.
struct WholeVector {
  VF32 load(const float* p) const { return hn::LoadU(F32(), p); }
  void store(VF32 v, float* p) const { hn::StoreU(v, F32(), p); }
  VF32 zero_rest(VF32 v) const { return v; }
  std::size_t count() const { return hn::Lanes(F32()); }
};

// The first lanes of a vector: the others read as zero, and their memory is not touched.
struct PartialVector {
  std::size_t lanes;

  VF32 load(const float* p) const {
    const F32 d;
#if HWY_CAP_GE256
    return hn::MaskedLoad(hn::FirstN(d, lanes), d, p);
#else  // narrower sets emulate masks by touching the whole vector
    HWY_ALIGN float buffer[hn::MaxLanes(F32())] = {};
    std::memcpy(buffer, p, lanes * sizeof(float));
    return hn::Load(d, buffer);
#endif
  }
  void store(VF32 v, float* p) const {
    const F32 d;
#if HWY_CAP_GE256
    hn::BlendedStore(v, hn::FirstN(d, lanes), d, p);
#else
    HWY_ALIGN float buffer[hn::MaxLanes(F32())];
    hn::Store(v, d, buffer);
    std::memcpy(p, buffer, lanes * sizeof(float));
#endif
  }
  VF32 zero_rest(VF32 v) const { return hn::IfThenElseZero(hn::FirstN(F32(), lanes), v); }
  std::size_t count() const { return lanes; }
};

// p = v, or p += v.
template <class Lanes>
HWY_INLINE void store_or_add(const Lanes& lanes, VF32 v, float* p, bool accumulate) {
  lanes.store(accumulate ? hn::Add(lanes.load(p), v) : v, p);
}

// Calls f(i, lanes) for i = 0, N, 2N, ... below n, where `lanes` loads and stores the elements that exist.
template <class F>
HWY_INLINE void for_lanes(std::int64_t n, F&& f) {
  const auto step = static_cast<std::int64_t>(hn::Lanes(F32()));
  std::int64_t i = 0;
  for (; i + step <= n; i += step) f(i, WholeVector());
  if (i < n) f(i, PartialVector{static_cast<std::size_t>(n - i)});
}

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

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
