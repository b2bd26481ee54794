// Normalisation of rows, shared by layer_norm (centred) and rms_norm (not). Included once per instruction set, after
// highway.h.
#include <cmath>

#include "fovea/kernels/layer_norm.h"
#include "hwy/cache_control.h"

#if defined(FOVEA_KERNELS_NORM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FOVEA_KERNELS_NORM_INL_H_
#undef FOVEA_KERNELS_NORM_INL_H_
#else
#define FOVEA_KERNELS_NORM_INL_H_
#endif

#include "kernels/row-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {

// Rows [begin, end) of the output. While a row is normalised the next one is fetched: it is read once, and the memory
// would be idle meanwhile.
template <bool centred>
HWY_INLINE void norm_rows(const LayerNormArgs<float>& args, std::int64_t begin, std::int64_t end) {
  const F32 d;
  const std::int64_t width = args.width;
  for (std::int64_t r = begin; r < end; ++r) {
    const float* x = args.x + r * width;
    float* y = args.y + r * width;
    float mean = 0;
    if constexpr (centred) {
      mean =
          sum_lanes(width, [&](std::int64_t i, auto lanes) { return lanes.load(x + i); }) / static_cast<float>(width);
    }
    const VF32 centre = hn::Set(d, mean);
    const auto distance = [&](std::int64_t i, auto lanes) {
      return centred ? hn::Sub(lanes.load(x + i), centre) : lanes.load(x + i);
    };
    const float squares = sum_lanes(width, [&](std::int64_t i, auto lanes) {
      const VF32 c = distance(i, lanes);
      return hn::Mul(c, c);
    });
    const auto rstd =
        static_cast<float>(1 / std::sqrt(static_cast<double>(squares) / static_cast<double>(width) + args.eps));
    const VF32 scale = hn::Set(d, rstd);
    for_lanes(width, [&](std::int64_t i, auto lanes) {
      hwy::Prefetch(x + width + i);
      VF32 v = hn::Mul(distance(i, lanes), scale);
      if (args.weight) v = hn::Mul(v, lanes.load(args.weight + i));
      if (args.bias) v = hn::Add(v, lanes.load(args.bias + i));
      lanes.store(v, y + i);
    });
    if constexpr (centred) args.mean[r] = mean;
    args.rstd[r] = rstd;
  }
}

// `rows` rows of dx from row r on, and what they add to the sums over rows (width each; null when not wanted).
template <bool centred, int rows>
HWY_INLINE void norm_grad_rows(const LayerNormGradArgs<float>& args, std::int64_t r, float* dweight_sum,
                               float* dbias_sum) {
  const F32 d;
  const std::int64_t width = args.width;
  const float *x = args.x + r * width, *dy = args.dy + r * width;
  VF32 centre[rows], rstd[rows], mean_g[rows], mean_gn[rows];
  for (int k = 0; k < rows; ++k) {
    if constexpr (centred) centre[k] = hn::Set(d, args.mean[r + k]);
    rstd[k] = hn::Set(d, args.rstd[r + k]);
    mean_g[k] = mean_gn[k] = hn::Zero(d);
  }
  const auto normalised = [&](int k, std::int64_t i, auto lanes) HWY_ATTR {
    const VF32 v = lanes.load(x + k * width + i);
    return hn::Mul(centred ? hn::Sub(v, centre[k]) : v, rstd[k]);
  };
  if (args.dx) {
    for_lanes(width, [&](std::int64_t i, auto lanes) {
      const VF32 weight = args.weight ? lanes.load(args.weight + i) : hn::Set(d, 1.0f);
      for (int k = 0; k < rows; ++k) {
        const VF32 g = hn::Mul(lanes.load(dy + k * width + i), weight);  // 0 in lanes beyond the row
        if constexpr (centred) mean_g[k] = hn::Add(mean_g[k], g);
        mean_gn[k] = hn::MulAdd(g, normalised(k, i, lanes), mean_gn[k]);
      }
    });
    const VF32 over_width = hn::Set(d, 1.0f / static_cast<float>(width));
    for (int k = 0; k < rows; ++k) {
      if constexpr (centred) mean_g[k] = hn::Mul(hn::SumOfLanes(d, mean_g[k]), over_width);
      mean_gn[k] = hn::Mul(hn::SumOfLanes(d, mean_gn[k]), over_width);
    }
  }
  for_lanes(width, [&](std::int64_t i, auto lanes) {
    const VF32 weight = args.weight ? lanes.load(args.weight + i) : hn::Set(d, 1.0f);
    VF32 dweight = hn::Zero(d), dbias = hn::Zero(d);
    for (int k = 0; k < rows; ++k) {
      hwy::Prefetch(x + (rows + k) * width + i);
      hwy::Prefetch(dy + (rows + k) * width + i);
      const VF32 v = lanes.load(dy + k * width + i), n = normalised(k, i, lanes);
      dweight = hn::MulAdd(v, n, dweight);
      dbias = hn::Add(v, dbias);
      if (!args.dx) continue;
      VF32 rest = hn::NegMulAdd(n, mean_gn[k], hn::Mul(v, weight));
      if constexpr (centred) rest = hn::Sub(rest, mean_g[k]);
      store_or_add(lanes, hn::Mul(rstd[k], rest), args.dx.data + (r + k) * width + i, args.dx.accumulate);
    }
    if (dweight_sum) lanes.store(hn::Add(dweight, lanes.load(dweight_sum + i)), dweight_sum + i);
    if (dbias_sum) lanes.store(hn::Add(dbias, lanes.load(dbias_sum + i)), dbias_sum + i);
  });
}

// Rows [begin, end), in groups of four, which hide the latency of sums and touch the sums over rows once.
template <bool centred>
HWY_INLINE void norm_grad_chunk(const LayerNormGradArgs<float>& args, std::int64_t begin, std::int64_t end,
                                float* dweight_sum, float* dbias_sum) {
  for (float* sum : {dweight_sum, dbias_sum}) {
    if (sum) std::fill_n(sum, args.width, 0.0f);
  }
  std::int64_t r = begin;
  for (; r + 4 <= end; r += 4) norm_grad_rows<centred, 4>(args, r, dweight_sum, dbias_sum);
  for (; r < end; ++r) norm_grad_rows<centred, 1>(args, r, dweight_sum, dbias_sum);
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
