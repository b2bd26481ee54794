#include "fovea/kernels/activation.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/activation.cc"
#include "fovea/core/parallel.h"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/math-inl.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {

void activation_block(Activation kind, const float* x, std::int64_t n, float* y) {
  const F32 d;
  with_activation(kind, [&]<Activation constant>() {
    transform(
        n, y, false, [d](VF32 v) { return activate<constant>(d, v); }, x);
  });
}

void activation_grad_block(Activation kind, const float* x, const float* dy, std::int64_t n, float* dx,
                           bool accumulate) {
  const F32 d;
  with_activation(kind, [&]<Activation constant>() {
    const auto chain = [d](VF32 v, VF32 g) { return hn::Mul(g, activate_grad<constant>(d, v)); };
    transform(n, dx, accumulate, chain, x, dy);
  });
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::kernels {
namespace {

constexpr std::int64_t grain = 1 << 14;

}  // namespace

HWY_EXPORT(activation_block);
HWY_EXPORT(activation_grad_block);

void activation_f32(Activation kind, const float* x, std::int64_t n, float* y) {
  parallel_for(n, grain, [=](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(activation_block)(kind, x + begin, end - begin, y + begin);
  });
}

void activation_grad_f32(Activation kind, const float* x, const float* dy, std::int64_t n, float* dx, bool accumulate) {
  parallel_for(n, grain, [=](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(activation_grad_block)
    (kind, x + begin, dy + begin, end - begin, dx + begin, accumulate);
  });
}

}  // namespace fovea::kernels
#endif
