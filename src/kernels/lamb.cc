#include "fovea/kernels/lamb.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/lamb.cc"
#include <algorithm>
#include <cmath>
#include <vector>

#include "fovea/core/parallel.h"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {

// The step's numbers in every lane.
struct LambVectors {
  explicit HWY_INLINE LambVectors(const LambStep& s)
      : gradient_scale(hn::Set(d, static_cast<float>(s.gradient_scale))),
        new_first(hn::Set(d, static_cast<float>(1 - s.beta1))),
        old_second(hn::Set(d, static_cast<float>(s.beta2))),
        new_second(hn::Set(d, static_cast<float>(1 - s.beta2))),
        decay(hn::Set(d, static_cast<float>(s.weight_decay))),
        inverse_first(hn::Set(d, static_cast<float>(1 / s.correction1))),
        inverse_root(hn::Set(d, static_cast<float>(1 / std::sqrt(s.correction2)))),
        eps(hn::Set(d, static_cast<float>(s.eps))) {}

  HWY_INLINE void move_moments(VF32 gradient, VF32& m, VF32& v) const {
    const VF32 g = hn::Mul(gradient_scale, gradient);
    m = hn::MulAdd(new_first, hn::Sub(g, m), m);
    v = hn::MulAdd(hn::Mul(new_second, g), g, hn::Mul(old_second, v));
  }
  HWY_INLINE VF32 update(VF32 w, VF32 m, VF32 v) const {
    const VF32 size = hn::MulAdd(hn::Sqrt(v), inverse_root, eps);
    return hn::MulAdd(decay, w, hn::Div(hn::Mul(inverse_first, m), size));
  }

  F32 d;
  VF32 gradient_scale, new_first, old_second, new_second, decay, inverse_first, inverse_root, eps;
};

// f32 sums cover a stretch of weights and then go to f64.
LambNorms lamb_moments_block(const LambStep& step, std::int64_t n, const float* g, const float* w, float* m, float* v) {
  constexpr std::int64_t stretch = 2048;
  const F32 d;
  const LambVectors constants(step);
  LambNorms norms;
  for (std::int64_t begin = 0; begin < n; begin += stretch) {
    VF32 weights = hn::Zero(d), updates = hn::Zero(d);
    for_lanes(std::min(stretch, n - begin), [&](std::int64_t j, auto lanes) {
      const std::int64_t i = begin + j;
      const VF32 weight = lanes.load(w + i);
      VF32 first = lanes.load(m + i), second = lanes.load(v + i);
      constants.move_moments(lanes.load(g + i), first, second);
      lanes.store(first, m + i);
      lanes.store(second, v + i);
      const VF32 u = constants.update(weight, first, second);  // 0 in lanes that do not exist
      weights = hn::MulAdd(weight, weight, weights);
      updates = hn::MulAdd(u, u, updates);
    });
    norms.weight += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, weights)));
    norms.update += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, updates)));
  }
  return norms;
}

void lamb_weights_block(const LambStep& step, double rate, std::int64_t n, const float* m, const float* v, float* w) {
  const LambVectors constants(step);
  const VF32 speed = hn::Set(constants.d, static_cast<float>(rate));
  for_lanes(n, [&](std::int64_t i, auto lanes) {
    const VF32 weight = lanes.load(w + i);
    const VF32 u = constants.update(weight, lanes.load(m + i), lanes.load(v + i));
    lanes.store(hn::NegMulAdd(speed, u, weight), w + i);
  });
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::kernels {

HWY_EXPORT(lamb_moments_block);
HWY_EXPORT(lamb_weights_block);

namespace {
constexpr std::int64_t grain = 1 << 16;  // weights of one task
}

LambNorms lamb_moments_f32(const LambStep& step, std::int64_t n, const float* g, const float* w, float* m, float* v) {
  std::vector<LambNorms> parts(static_cast<std::size_t>(chunk_count(n, grain)));
  parallel_for(n, grain, [&](std::int64_t begin, std::int64_t end) {
    parts[static_cast<std::size_t>(begin / grain)] =
        HWY_DYNAMIC_DISPATCH(lamb_moments_block)(step, end - begin, g + begin, w + begin, m + begin, v + begin);
  });
  LambNorms norms;
  for (const LambNorms& part : parts) norms.weight += part.weight, norms.update += part.update;
  return norms;
}

void lamb_weights_f32(const LambStep& step, double rate, std::int64_t n, const float* m, const float* v, float* w) {
  parallel_for(n, grain, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(lamb_weights_block)(step, rate, end - begin, m + begin, v + begin, w + begin);
  });
}

}  // namespace fovea::kernels
#endif
