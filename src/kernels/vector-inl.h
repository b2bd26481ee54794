// Loops over f32 arrays of any length. Included once per instruction set, after highway.h.
#include <cstddef>
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

using FloatTag = hn::ScalableTag<float>;
using FloatVec = hn::Vec<FloatTag>;

// Below AVX2 a masked access touches whole vectors, which may cross the end of an array or race with the thread that
// owns the other elements: the end of a row goes through a buffer there.
constexpr bool masks_memory = HWY_TARGET <= HWY_AVX2;

// The first n elements at p, fewer than a vector holds; `rest` in the other lanes.
HWY_INLINE FloatVec load_tail(FloatTag d, const float* p, std::size_t n, float rest) {
  if constexpr (masks_memory) {
    const auto mask = hn::FirstN(d, n);
    return hn::IfThenElse(mask, hn::MaskedLoad(mask, d, p), hn::Set(d, rest));
  } else {
    HWY_ALIGN float lanes[hn::MaxLanes(FloatTag())];
    hn::Store(hn::Set(d, rest), d, lanes);
    std::memcpy(lanes, p, n * sizeof(float));
    return hn::Load(d, lanes);
  }
}

HWY_INLINE void store_tail(FloatVec v, FloatTag d, float* p, std::size_t n) {
  if constexpr (masks_memory) {
    hn::BlendedStore(v, hn::FirstN(d, n), d, p);
  } else {
    HWY_ALIGN float lanes[hn::MaxLanes(FloatTag())];
    hn::Store(v, d, lanes);
    std::memcpy(p, lanes, n * sizeof(float));
  }
}

// y[i] (+)= f(inputs[i]...) for i < n. An input may be y itself.
template <class F, class... Inputs>
HWY_INLINE void transform(std::size_t n, float* y, bool accumulate, F f, const Inputs*... inputs) {
  const FloatTag d;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    FloatVec v = f(hn::LoadU(d, inputs + i)...);
    if (accumulate) v = hn::Add(v, hn::LoadU(d, y + i));
    hn::StoreU(v, d, y + i);
  }
  if (i == n) return;
  FloatVec v = f(load_tail(d, inputs + i, n - i, 1.0f)...);
  if (accumulate) v = hn::Add(v, load_tail(d, y + i, n - i, 0.0f));
  store_tail(v, d, y + i, n - i);
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
