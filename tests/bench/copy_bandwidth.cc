#include "copy_bandwidth.h"

#include <algorithm>
#include <chrono>

#include "fovea/core/parallel.h"
#include "fovea/tensor/factory.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "copy_bandwidth.cc"
#include "hwy/cache_control.h"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::bench::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// n is a multiple of 64.
void copy_block(const float* from, std::int64_t n, float* to, bool streaming) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  if (streaming) {
    for (std::int64_t i = 0; i < n; i += lanes) hn::Stream(hn::Load(d, from + i), d, to + i);
    hwy::FlushStream();
  } else {
    for (std::int64_t i = 0; i < n; i += lanes) hn::Store(hn::Load(d, from + i), d, to + i);
  }
}

}  // namespace fovea::bench::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::bench {

HWY_EXPORT(copy_block);

void copy(const float* from, std::int64_t n, float* to, bool streaming) {
  parallel_for(n, 1 << 14, [=](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(copy_block)(from + begin, end - begin, to + begin, streaming);
  });
}

double copy_bandwidth(double seconds) {
  using Clock = std::chrono::steady_clock;
  constexpr std::int64_t n = std::int64_t{1} << 26;
  const Tensor from = zeros({n});
  Tensor to = zeros({n});
  double best = 0;
  const auto stop = Clock::now() + std::chrono::duration<double>(seconds);
  for (bool streaming = false; Clock::now() < stop; streaming = !streaming) {
    const auto start = Clock::now();
    copy(from.data<float>(), n, to.mutable_data<float>(), streaming);
    const double elapsed = std::chrono::duration<double>(Clock::now() - start).count();
    best = std::max(best, 2.0 * sizeof(float) * static_cast<double>(n) / elapsed);
  }
  return best;
}

}  // namespace fovea::bench
#endif
