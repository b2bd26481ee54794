#include "fovea/kernels/adamw.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/adamw.cc"
#include <cmath>

#include "fovea/core/parallel.h"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {

// The step's numbers in every lane.
struct AdamWVectors {
  explicit HWY_INLINE AdamWVectors(const AdamWStep& s)
      : gradient_scale(hn::Set(d, static_cast<float>(s.gradient_scale))),
        new_first(hn::Set(d, static_cast<float>(1 - s.beta1))),
        old_second(hn::Set(d, static_cast<float>(s.beta2))),
        new_second(hn::Set(d, static_cast<float>(1 - s.beta2))),
        keep(hn::Set(d, static_cast<float>(1 - s.lr * s.weight_decay))),
        rate(hn::Set(d, static_cast<float>(s.lr / s.correction1))),
        inverse_root(hn::Set(d, static_cast<float>(1 / std::sqrt(s.correction2)))),
        eps(hn::Set(d, static_cast<float>(s.eps))) {}

  HWY_INLINE void update(VF32 gradient, VF32& w, VF32& m, VF32& v) const {
    const VF32 g = hn::Mul(gradient_scale, gradient);
    m = hn::MulAdd(new_first, hn::Sub(g, m), m);
    v = hn::MulAdd(hn::Mul(new_second, g), g, hn::Mul(old_second, v));
    const VF32 size = hn::MulAdd(hn::Sqrt(v), inverse_root, eps);
    w = hn::NegMulAdd(rate, hn::Div(m, size), hn::Mul(keep, w));
  }

  F32 d;
  VF32 gradient_scale, new_first, old_second, new_second, keep, rate, inverse_root, eps;
};

void adamw_block(const AdamWStep& step, std::int64_t n, const float* g, float* w, float* m, float* v) {
  const AdamWVectors constants(step);
  for_lanes(n, [&](std::int64_t i, auto lanes) {
    VF32 weight = lanes.load(w + i), first = lanes.load(m + i), second = lanes.load(v + i);
    constants.update(lanes.load(g + i), weight, first, second);
    lanes.store(weight, w + i);
    lanes.store(first, m + i);
    lanes.store(second, v + i);
  });
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::kernels {

HWY_EXPORT(adamw_block);

void adamw_f32(const AdamWStep& step, std::int64_t n, const float* g, float* w, float* m, float* v) {
  // Long stretches: four arrays are read and three written at once, and the processor prefetches each anew.
  parallel_for(n, 1 << 16, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(adamw_block)
    (step, end - begin, g + begin, w + begin, m + begin, v + begin);
  });
}

}  // namespace fovea::kernels
#endif
