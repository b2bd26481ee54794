#include "fovea/kernels/bfloat16.h"

#include "fovea/core/parallel.h"
#include "fovea/kernels/bfloat16_reference.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/bfloat16.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using U32 = hn::ScalableTag<std::uint32_t>;
using HalfU16 = hn::Rebind<std::uint16_t, U32>;

// Highway's own conversion truncates. As in bfloat16(float): half a unit in the last place that stays is added, less a
// bit when that place is even; a NaN keeps its upper half, made quiet.
void round_block(const float* x, std::int64_t n, bfloat16* y) {
  const U32 d;
  const HalfU16 half;
  const hn::RebindToFloat<U32> f32;
  const hn::RebindToSigned<U32> i32;
  const auto step = static_cast<std::int64_t>(hn::Lanes(d));
  const auto just_below_half = hn::Set(d, 0x7fffu), one = hn::Set(d, 1u), quiet = hn::Set(d, 0x40u);
  std::int64_t i = 0;
  for (; i + step <= n; i += step) {
    const auto value = hn::LoadU(f32, x + i);
    const auto word = hn::BitCast(d, value), upper = hn::ShiftRight<16>(word);
    const auto nearest = hn::ShiftRight<16>(hn::Add(hn::Add(word, just_below_half), hn::And(upper, one)));
    const auto is_nan = hn::RebindMask(d, hn::IsNaN(value));
    const auto bits = hn::IfThenElse(is_nan, hn::Or(upper, quiet), nearest);
    hn::StoreU(hn::DemoteTo(half, hn::BitCast(i32, bits)), half, &y[i].bits);
  }
  round_to_bf16_reference(x + i, n - i, y + i);
}

void widen_block(const bfloat16* x, std::int64_t n, float* y) {
  const U32 d;
  const HalfU16 half;
  const hn::RebindToFloat<U32> f32;
  const auto step = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + step <= n; i += step) {
    const auto word = hn::ShiftLeft<16>(hn::PromoteTo(d, hn::LoadU(half, &x[i].bits)));
    hn::StoreU(hn::BitCast(f32, word), f32, y + i);
  }
  widen_bf16_reference(x + i, n - i, y + i);
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::kernels {
namespace {

constexpr std::int64_t grain = 1 << 16;

}  // namespace

HWY_EXPORT(round_block);
HWY_EXPORT(widen_block);

void round_to_bf16(const float* x, std::int64_t n, bfloat16* y) {
  parallel_for(n, grain, [=](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(round_block)(x + begin, end - begin, y + begin);
  });
}

void widen_bf16(const bfloat16* x, std::int64_t n, float* y) {
  parallel_for(n, grain, [=](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(widen_block)(x + begin, end - begin, y + begin);
  });
}

}  // namespace fovea::kernels
#endif
