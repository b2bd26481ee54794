#include "fovea/kernels/sgd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/sgd.cc"
#include "fovea/core/parallel.h"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {

void sgd_block(const SgdStep& step, std::int64_t n, const float* g, float* w, float* m) {
  const F32 d;
  const auto set = [d](double value) { return hn::Set(d, static_cast<float>(value)); };
  const VF32 lr = set(step.lr), momentum = set(step.momentum), decay = set(step.weight_decay),
             scale = set(step.gradient_scale);
  for_lanes(n, [&](std::int64_t i, auto lanes) {
    const VF32 weight = lanes.load(w + i);
    const VF32 change = hn::MulAdd(decay, weight, hn::Mul(scale, lanes.load(g + i)));
    const VF32 average = hn::MulAdd(momentum, lanes.load(m + i), change);
    const VF32 direction = step.nesterov ? hn::MulAdd(momentum, average, change) : average;
    lanes.store(hn::NegMulAdd(lr, direction, weight), w + i);
    lanes.store(average, m + i);
  });
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::kernels {

HWY_EXPORT(sgd_block);

void sgd_f32(const SgdStep& step, std::int64_t n, const float* g, float* w, float* m) {
  parallel_for(n, 1 << 14, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(sgd_block)
    (step, end - begin, g + begin, w + begin, m + begin);
  });
}

}  // namespace fovea::kernels
#endif
