#include "fovea/kernels/roofline.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <numeric>
#include <vector>

#include "fovea/core/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/roofline.cc"
#include "hwy/cache_control.h"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {
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

// Stores that do not read what they overwrite.
void copy_past_caches(const float* from, std::int64_t n, float* to) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i < n && reinterpret_cast<std::uintptr_t>(to + i) % (static_cast<std::size_t>(lanes) * sizeof(float)) != 0;
       ++i)
    to[i] = from[i];
  for (; i + lanes <= n; i += lanes) hn::Stream(hn::LoadU(d, from + i), d, to + i);
  for (; i < n; ++i) to[i] = from[i];
  hwy::FlushStream();
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::kernels {

HWY_EXPORT(peak);
HWY_EXPORT(copy_past_caches);

namespace {

using Clock = std::chrono::steady_clock;

void copy(const float* from, std::int64_t n, float* to) {
  parallel_for(n, 1 << 16, [=](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(copy_past_caches)(from + begin, end - begin, to + begin);
  });
}

double copy_bandwidth(double seconds) {
  constexpr std::size_t n = std::size_t{1} << 25;
  constexpr double bytes = 2.0 * sizeof(float) * static_cast<double>(n);
  const std::vector<float> from(n, 1.0f);
  std::vector<float> to(n, 0.0f);
  double best = 0;
  const auto stop = Clock::now() + std::chrono::duration<double>(seconds);
  while (Clock::now() < stop) {
    const auto start = Clock::now();
    copy(from.data(), static_cast<std::int64_t>(n), to.data());
    best = std::max(best, bytes / std::chrono::duration<double>(Clock::now() - start).count());
  }
  return best;
}

}  // namespace

double fma_peak(double seconds) { return HWY_DYNAMIC_DISPATCH(peak)(seconds); }

Roofline measure_roofline() {
  constexpr double seconds = 0.2;
  const auto threads = static_cast<std::size_t>(num_threads());
  std::vector<double> rates(threads);
  parallel_for(num_threads(), 1, [&](std::int64_t i, std::int64_t end) {
    for (; i < end; ++i) rates[static_cast<std::size_t>(i)] = fma_peak(seconds);
  });
  return {std::accumulate(rates.begin(), rates.end(), 0.0), copy_bandwidth(seconds)};
}

}  // namespace fovea::kernels
#endif
