#include "fma_peak.h"

#include <algorithm>
#include <chrono>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "fma_peak.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::bench::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Independent multiply-adds in registers: more of them than the latency of one needs.
double peak(double seconds) {
  const hn::ScalableTag<float> d;
  using V = hn::Vec<decltype(d)>;
  constexpr int chains = 12, steps = 4096;
  V sum[chains];
  for (V& s : sum) s = hn::Zero(d);
  volatile float one = 1.0f, tiny = 1e-9f;
  const V a = hn::Set(d, one), b = hn::Set(d, tiny);
  using Clock = std::chrono::steady_clock;
  double best = 0;
  const auto stop = Clock::now() + std::chrono::duration<double>(seconds);
  while (Clock::now() < stop) {
    const auto start = Clock::now();
    for (int i = 0; i < steps; ++i) {
#pragma GCC unroll 12
      for (V& s : sum) s = hn::MulAdd(a, b, s);
    }
    const double elapsed = std::chrono::duration<double>(Clock::now() - start).count();
    best = std::max(best, 2.0 * chains * steps * static_cast<double>(hn::Lanes(d)) / elapsed);
  }
  V total = sum[0];
  for (const V& s : sum) total = hn::Add(total, s);
  volatile float keep = hn::GetLane(total);
  static_cast<void>(keep);
  return best;
}

}  // namespace fovea::bench::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::bench {

HWY_EXPORT(peak);
double fma_peak(double seconds) { return HWY_DYNAMIC_DISPATCH(peak)(seconds); }

}  // namespace fovea::bench
#endif
