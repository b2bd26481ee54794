#include "fovea/kernels/layer_norm.h"

#include <cmath>
#include <vector>

#include "fovea/core/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/layer_norm.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/row-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {

// Rows [begin, end) of the output.
void layer_norm_rows(const LayerNormArgs<float>& args, std::int64_t begin, std::int64_t end) {
  const F32 d;
  const std::int64_t width = args.width;
  for (std::int64_t r = begin; r < end; ++r) {
    const float* x = args.x + r * width;
    float* y = args.y + r * width;
    const float mean =
        sum_lanes(width, [&](std::int64_t i, auto lanes) { return lanes.load(x + i); }) / static_cast<float>(width);
    const VF32 centre = hn::Set(d, mean);
    const float squares = sum_lanes(width, [&](std::int64_t i, auto lanes) {
      const VF32 c = hn::Sub(lanes.load(x + i), centre);
      return hn::Mul(c, c);
    });
    const double variance = static_cast<double>(squares) / static_cast<double>(width);
    const auto rstd = static_cast<float>(1 / std::sqrt(variance + args.eps));
    const VF32 scale = hn::Set(d, rstd);
    for_lanes(width, [&](std::int64_t i, auto lanes) {
      VF32 v = hn::Mul(hn::Sub(lanes.load(x + i), centre), scale);
      if (args.weight) v = hn::Mul(v, lanes.load(args.weight + i));
      if (args.bias) v = hn::Add(v, lanes.load(args.bias + i));
      lanes.store(v, y + i);
    });
    args.mean[r] = mean;
    args.rstd[r] = rstd;
  }
}

// Rows [begin, end) of dx, and what they add to the sums over rows (width each; null when not wanted).
void layer_norm_grad_rows(const LayerNormGradArgs<float>& args, std::int64_t begin, std::int64_t end,
                          float* dweight_sum, float* dbias_sum) {
  const F32 d;
  const std::int64_t width = args.width;
  for (std::int64_t r = begin; r < end; ++r) {
    const float *x = args.x + r * width, *dy = args.dy + r * width;
    const VF32 centre = hn::Set(d, args.mean[r]), rstd = hn::Set(d, args.rstd[r]);
    const auto normalised = [&](std::int64_t i, auto lanes) {
      return hn::Mul(hn::Sub(lanes.load(x + i), centre), rstd);
    };
    const auto weighted = [&](VF32 v, std::int64_t i, auto lanes) {
      return args.weight ? hn::Mul(v, lanes.load(args.weight + i)) : v;
    };
    VF32 sum_g = hn::Zero(d), sum_gn = hn::Zero(d);
    for_lanes(width, [&](std::int64_t i, auto lanes) {
      const VF32 v = lanes.load(dy + i), n = normalised(i, lanes), g = weighted(v, i, lanes);
      sum_g = hn::Add(sum_g, g);  // lanes beyond the row are zero in dy
      sum_gn = hn::MulAdd(g, n, sum_gn);
      if (dweight_sum) lanes.store(hn::MulAdd(v, n, lanes.load(dweight_sum + i)), dweight_sum + i);
      if (dbias_sum) lanes.store(hn::Add(v, lanes.load(dbias_sum + i)), dbias_sum + i);
    });
    if (!args.dx) continue;
    const VF32 over_width = hn::Set(d, 1.0f / static_cast<float>(width));
    const VF32 mean_g = hn::Mul(hn::SumOfLanes(d, sum_g), over_width);
    const VF32 mean_gn = hn::Mul(hn::SumOfLanes(d, sum_gn), over_width);
    float* dx = args.dx.data + r * width;
    for_lanes(width, [&](std::int64_t i, auto lanes) {
      const VF32 g = weighted(lanes.load(dy + i), i, lanes);
      const VF32 rest = hn::NegMulAdd(normalised(i, lanes), mean_gn, hn::Sub(g, mean_g));
      store_or_add(lanes, hn::Mul(rstd, rest), dx + i, args.dx.accumulate);
    });
  }
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::kernels {

HWY_EXPORT(layer_norm_rows);
HWY_EXPORT(layer_norm_grad_rows);

namespace {

constexpr std::int64_t rows_per_chunk = 32;

// out = or += the sum of the chunks' partial sums, in order.
void add_partials(const std::vector<float>& partials, std::int64_t width, const GradTarget<float>& out) {
  std::vector<double> total(static_cast<std::size_t>(width));
  for (std::size_t i = 0; i < partials.size(); i += total.size()) {
    for (std::size_t j = 0; j < total.size(); ++j) total[j] += static_cast<double>(partials[i + j]);
  }
  for (std::size_t j = 0; j < total.size(); ++j) out.put(j, static_cast<float>(total[j]));
}

}  // namespace

void layer_norm_f32(const LayerNormArgs<float>& args) {
  parallel_for(args.rows, rows_per_chunk, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(layer_norm_rows)(args, begin, end);
  });
}

void layer_norm_grad_f32(const LayerNormGradArgs<float>& args) {
  const auto partial_size = static_cast<std::size_t>(chunk_count(args.rows, rows_per_chunk) * args.width);
  std::vector<float> dweight(args.dweight ? partial_size : 0), dbias(args.dbias ? partial_size : 0);
  parallel_for(args.rows, rows_per_chunk, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t first = begin / rows_per_chunk * args.width;
    HWY_DYNAMIC_DISPATCH(layer_norm_grad_rows)
    (args, begin, end, args.dweight ? dweight.data() + first : nullptr, args.dbias ? dbias.data() + first : nullptr);
  });
  if (args.dweight) add_partials(dweight, args.width, args.dweight);
  if (args.dbias) add_partials(dbias, args.width, args.dbias);
}

}  // namespace fovea::kernels
#endif
