// Loops over f32 arrays of any length: whole vectors, then one partial vector. Included once per instruction set, after
// highway.h.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "hwy/highway.h"

#if defined(FOVEA_KERNELS_VECTOR_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FOVEA_KERNELS_VECTOR_INL_H_
#undef FOVEA_KERNELS_VECTOR_INL_H_
#else
#define FOVEA_KERNELS_VECTOR_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;
using VF32 = hn::Vec<F32>;

// Below AVX2 a masked access touches the whole vector, which may cross the end of an array or race with the thread that
// owns the other elements: a partial vector goes through a buffer there.
constexpr bool masks_memory = HWY_TARGET <= HWY_AVX2;

// All lanes of a vector.
struct WholeVector {
  VF32 load(const float* p, [[maybe_unused]] float rest = 0) const { return hn::LoadU(F32(), p); }
  void store(VF32 v, float* p) const { hn::StoreU(v, F32(), p); }
  VF32 zero_rest(VF32 v) const { return v; }
  std::size_t count() const { return hn::Lanes(F32()); }
};

// The first lanes of a vector: the others read as `rest`, and their memory is not touched.
struct PartialVector {
  std::size_t lanes;

  VF32 load(const float* p, float rest = 0) const {
    const F32 d;
    if constexpr (masks_memory) {
      const auto mask = hn::FirstN(d, lanes);
      return hn::IfThenElse(mask, hn::MaskedLoad(mask, d, p), hn::Set(d, rest));
    } else {
      HWY_ALIGN float buffer[hn::MaxLanes(F32())];
      hn::Store(hn::Set(d, rest), d, buffer);
      std::memcpy(buffer, p, lanes * sizeof(float));
      return hn::Load(d, buffer);
    }
  }
  void store(VF32 v, float* p) const {
    const F32 d;
    if constexpr (masks_memory) {
      hn::BlendedStore(v, hn::FirstN(d, lanes), d, p);
    } else {
      HWY_ALIGN float buffer[hn::MaxLanes(F32())];
      hn::Store(v, d, buffer);
      std::memcpy(p, buffer, lanes * sizeof(float));
    }
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

// y[i] (+)= f(inputs[i]...) for i < n. An input may be y itself. Lanes beyond the end compute f(1...), which unlike 0
// is an ordinary argument of logarithms and quotients.
template <class F, class... Inputs>
HWY_INLINE void transform(std::int64_t n, float* y, bool accumulate, F&& f, const Inputs*... inputs) {
  for_lanes(
      n, [&](std::int64_t i, auto lanes) { store_or_add(lanes, f(lanes.load(inputs + i, 1)...), y + i, accumulate); });
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
