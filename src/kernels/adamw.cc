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

  HWY_INLINE void update(FloatVec gradient, FloatVec& w, FloatVec& m, FloatVec& v) const {
    const FloatVec g = hn::Mul(gradient_scale, gradient);
    m = hn::MulAdd(new_first, hn::Sub(g, m), m);
    v = hn::MulAdd(hn::Mul(new_second, g), g, hn::Mul(old_second, v));
    const FloatVec size = hn::MulAdd(hn::Sqrt(v), inverse_root, eps);
    w = hn::NegMulAdd(rate, hn::Div(m, size), hn::Mul(keep, w));
  }

  FloatTag d;
  FloatVec gradient_scale, new_first, old_second, new_second, keep, rate, inverse_root, eps;
};

void adamw_block(const AdamWStep& step, std::size_t n, const float* g, float* w, float* m, float* v) {
  const FloatTag d;
  const std::size_t lanes = hn::Lanes(d);
  const AdamWVectors constants(step);
  std::size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    FloatVec weight = hn::LoadU(d, w + i), first = hn::LoadU(d, m + i), second = hn::LoadU(d, v + i);
    constants.update(hn::LoadU(d, g + i), weight, first, second);
    hn::StoreU(weight, d, w + i);
    hn::StoreU(first, d, m + i);
    hn::StoreU(second, d, v + i);
  }
  if (i == n) return;
  const std::size_t rest = n - i;
  FloatVec weight = load_tail(d, w + i, rest, 0), first = load_tail(d, m + i, rest, 0),
           second = load_tail(d, v + i, rest, 0);
  constants.update(load_tail(d, g + i, rest, 0), weight, first, second);
  store_tail(weight, d, w + i, rest);
  store_tail(first, d, m + i, rest);
  store_tail(second, d, v + i, rest);
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::kernels {

HWY_EXPORT(adamw_block);

void adamw_f32(const AdamWStep& step, std::int64_t n, const float* g, float* w, float* m, float* v) {
  parallel_for(n, 1 << 14, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(adamw_block)
    (step, static_cast<std::size_t>(end - begin), g + begin, w + begin, m + begin, v + begin);
  });
}

}  // namespace fovea::kernels
#endif
