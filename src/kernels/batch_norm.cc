#include "fovea/kernels/batch_norm.h"

#include <algorithm>
#include <vector>

#include "fovea/core/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/batch_norm.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/scratch.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {

// Adds f's two terms over rows, for some vectors of channels from c on. Sums stay in registers; `unroll` of each hide
// the latency of an addition.
template <int vectors, int unroll, class Lanes, class F>
HWY_INLINE void sum_strip(std::int64_t rows, std::int64_t c, const Lanes& lanes, F&& f, float* first, float* second) {
  const auto step = static_cast<std::int64_t>(hn::Lanes(F32()));
  VF32 a[vectors][unroll], b[vectors][unroll];
  for (int v = 0; v < vectors; ++v) {
    for (int u = 0; u < unroll; ++u) a[v][u] = b[v][u] = hn::Zero(F32());
  }
  std::int64_t r = 0;
  for (; r + unroll <= rows; r += unroll) {
    for (int u = 0; u < unroll; ++u) {
      for (int v = 0; v < vectors; ++v) f(r + u, c + v * step, lanes, a[v][u], b[v][u]);
    }
  }
  for (; r < rows; ++r) {
    for (int v = 0; v < vectors; ++v) f(r, c + v * step, lanes, a[v][0], b[v][0]);
  }
  for (int v = 0; v < vectors; ++v) {
    for (int u = 1; u < unroll; ++u) {
      a[v][0] = hn::Add(a[v][0], a[v][u]);
      b[v][0] = hn::Add(b[v][0], b[v][u]);
    }
    lanes.store(a[v][0], first + c + v * step);
    lanes.store(b[v][0], second + c + v * step);
  }
}

// Adds to `total` (2, channels) the sums over rows of the two terms that f(row, channel, lanes, first, second) adds to
// its last arguments. f32 sums cover a block of rows and then go to f64, so that gradients which nearly cancel keep
// their digits; a block of one array fits the first-level cache.
template <class F>
HWY_INLINE void sum_terms(std::int64_t rows, std::int64_t channels, double* total, F&& f) {
  const auto step = static_cast<std::int64_t>(hn::Lanes(F32()));
  const std::int64_t block_rows = std::clamp<std::int64_t>(8192 / std::max<std::int64_t>(channels, 1), 32, 128);
  const Scratch<float> block(2 * channels);
  for (std::int64_t begin = 0; begin < rows; begin += block_rows) {
    const std::int64_t count = std::min(block_rows, rows - begin);
    const auto term = [&](std::int64_t r, std::int64_t c, const auto& lanes, VF32& first, VF32& second)
                          HWY_ATTR { f(begin + r, c, lanes, first, second); };
    float *first = block.data(), *second = first + channels;
    const WholeVector whole;
    std::int64_t c = 0;
    for (; c + 4 * step <= channels; c += 4 * step) sum_strip<4, 1>(count, c, whole, term, first, second);
    for (; c + 2 * step <= channels; c += 2 * step) sum_strip<2, 2>(count, c, whole, term, first, second);
    for_lanes(channels - c,
              [&](std::int64_t rest, auto lanes) { sum_strip<1, 4>(count, c + rest, lanes, term, first, second); });
    for (std::int64_t i = 0; i < 2 * channels; ++i) total[i] += static_cast<double>(block[i]);
  }
}

// Of a chunk of rows: a shift near the mean of each channel, and the sums (2, channels) of x - shift and of its square,
// zero at first.
void chunk_moments(const float* x, std::int64_t rows, std::int64_t channels, float* shift, double* sums) {
  const F32 d;
  const std::int64_t sample = std::min<std::int64_t>(rows, 16);
  const VF32 over_sample = hn::Set(d, 1.0f / static_cast<float>(sample));
  for_lanes(channels, [&](std::int64_t c, auto lanes) {
    VF32 total = hn::Zero(d);
    for (std::int64_t r = 0; r < sample; ++r) total = hn::Add(total, lanes.load(x + r * channels + c));
    lanes.store(hn::Mul(total, over_sample), shift + c);
  });
  sum_terms(rows, channels, sums, [&](std::int64_t r, std::int64_t c, const auto& lanes, VF32& sum, VF32& squares) {
    const VF32 v = hn::Sub(lanes.load(x + r * channels + c), lanes.load(shift + c));
    sum = hn::Add(sum, v);
    squares = hn::MulAdd(v, v, squares);
  });
}

// y = (x - centre) * scale + shift for the rows [begin, end).
void normalise_rows(const BatchNormArgs<float>& args, const float* centre, const float* scale, const float* shift,
                    std::int64_t begin, std::int64_t end) {
  const F32 d;
  for (std::int64_t r = begin; r < end; ++r) {
    const std::int64_t row = r * args.channels;
    for_lanes(args.channels, [&](std::int64_t c, auto lanes) {
      const VF32 centred = hn::Sub(lanes.load(args.x + row + c), lanes.load(centre + c));
      VF32 y = hn::MulAdd(centred, lanes.load(scale + c), lanes.load(shift + c));
      if (args.residual) y = hn::Add(y, lanes.load(args.residual + row + c));
      // NaN compares false and is kept.
      if (args.relu) y = hn::IfThenZeroElse(hn::Le(y, hn::Zero(d)), y);
      lanes.store(y, args.y + row + c);
    });
  }
}

// dy where relu let the value through.
template <class Lanes>
HWY_INLINE VF32 passed(const Lanes& lanes, const float* dy, const float* y, std::int64_t i) {
  const VF32 g = lanes.load(dy + i);
  return y ? hn::IfThenElseZero(hn::Gt(lanes.load(y + i), hn::Zero(F32())), g) : g;
}

// Sums of g and of g * (x - centre) over the rows [begin, end). `sums` is (2, channels), all zero at first.
void chunk_grad_sums(const BatchNormSumsArgs<float>& args, const float* centre, std::int64_t begin, std::int64_t end,
                     double* sums) {
  const auto term = [&](std::int64_t r, std::int64_t c, const auto& lanes, VF32& sum_g, VF32& sum_product) {
    const std::int64_t at = (begin + r) * args.channels + c;
    const VF32 g = passed(lanes, args.dy, args.y, at);
    sum_g = hn::Add(sum_g, g);
    sum_product = hn::MulAdd(g, hn::Sub(lanes.load(args.x + at), lanes.load(centre + c)), sum_product);
  };
  sum_terms(end - begin, args.channels, sums, term);
}

// dx = g * scale + (x - centre) * slope + shift for the rows [begin, end), and dresidual = g.
void grad_rows(const BatchNormGradArgs<float>& args, const float* centre, const float* scale, const float* slope,
               const float* shift, std::int64_t begin, std::int64_t end) {
  for (std::int64_t r = begin; r < end; ++r) {
    const std::int64_t row = r * args.channels;
    for_lanes(args.channels, [&](std::int64_t c, auto lanes) {
      const VF32 g = passed(lanes, args.dy, args.y, row + c);
      if (args.dx) {
        VF32 dx = hn::Mul(g, lanes.load(scale + c));
        if (args.sum_g) {
          const VF32 centred = hn::Sub(lanes.load(args.x + row + c), lanes.load(centre + c));
          dx = hn::Add(dx, hn::MulAdd(centred, lanes.load(slope + c), lanes.load(shift + c)));
        }
        store_or_add(lanes, dx, args.dx.data + row + c, args.dx.accumulate);
      }
      if (args.dresidual) store_or_add(lanes, g, args.dresidual.data + row + c, args.dresidual.accumulate);
    });
  }
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::kernels {

HWY_EXPORT(chunk_moments);
HWY_EXPORT(normalise_rows);
HWY_EXPORT(chunk_grad_sums);
HWY_EXPORT(grad_rows);

namespace {

// Rows that one task handles: about 64 KB of one array, which fits the second-level cache.
std::int64_t rows_per_chunk(std::int64_t channels) {
  return std::clamp<std::int64_t>(16384 / std::max<std::int64_t>(channels, 1), 64, 4096);
}

// One group of `width` zeros per chunk of rows.
template <class T>
std::vector<T> make_partials(std::int64_t rows, std::int64_t channels, std::int64_t width) {
  return std::vector<T>(static_cast<std::size_t>(chunk_count(rows, rows_per_chunk(channels)) * width));
}

// The part of each channel's mean that fits f32. Subtracting it first is exact near the mean; what it leaves is small.
std::vector<float> rounded(const double* mean, std::int64_t channels) { return {mean, mean + channels}; }

struct Moments {
  double count = 0, mean = 0, squares = 0;  // squares: sum of squared distances from the mean

  // Chan, Golub & LeVeque 1979, "Updating formulae and a pairwise algorithm for computing sample variances".
  void merge(const Moments& other) {
    const double total = count + other.count, distance = other.mean - mean;
    mean += distance * other.count / total;
    squares += other.squares + distance * distance * count * other.count / total;
    count = total;
  }
};

// From the sums of x - shift and of its square.
Moments shifted_moments(double count, double shift, double first, double second) {
  return {count, shift + first / count, std::max(0.0, second - first * first / count)};
}

}  // namespace

void channel_moments_f32(const float* x, std::int64_t rows, std::int64_t channels, double* mean, double* variance) {
  const std::int64_t chunk = rows_per_chunk(channels), width = 2 * channels;
  std::vector<float> shifts = make_partials<float>(rows, channels, channels);
  std::vector<double> partials = make_partials<double>(rows, channels, width);
  parallel_for(rows, chunk, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t part = begin / chunk;
    HWY_DYNAMIC_DISPATCH(chunk_moments)
    (x + begin * channels, end - begin, channels, shifts.data() + part * channels, partials.data() + part * width);
  });
  parallel_for(channels, 16, [&](std::int64_t begin, std::int64_t end) {
    std::vector<Moments> merged(static_cast<std::size_t>(end - begin));
    for (std::int64_t row = 0; row < rows; row += chunk) {
      const float* shift = shifts.data() + row / chunk * channels;
      const double* sums = partials.data() + row / chunk * width;
      const auto count = static_cast<double>(std::min(chunk, rows - row));
      for (std::int64_t c = begin; c < end; ++c) {
        merged[static_cast<std::size_t>(c - begin)].merge(
            shifted_moments(count, static_cast<double>(shift[c]), sums[c], sums[channels + c]));
      }
    }
    for (std::int64_t c = begin; c < end; ++c) {
      mean[c] = merged[static_cast<std::size_t>(c - begin)].mean;
      variance[c] = merged[static_cast<std::size_t>(c - begin)].squares / static_cast<double>(rows);
    }
  });
}

void batch_norm_f32(const BatchNormArgs<float>& args) {
  const std::vector<float> centre = rounded(args.mean, args.channels);
  std::vector<float> scale(centre.size()), shift(centre.size());
  for (std::size_t c = 0; c < centre.size(); ++c) {
    const double exact_scale = static_cast<double>(args.weight[c]) * args.rstd[c];
    const double rest_of_mean = args.mean[c] - static_cast<double>(centre[c]);
    scale[c] = static_cast<float>(exact_scale);
    shift[c] = static_cast<float>(static_cast<double>(args.bias[c]) - rest_of_mean * exact_scale);
  }
  parallel_for(args.rows, rows_per_chunk(args.channels), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(normalise_rows)(args, centre.data(), scale.data(), shift.data(), begin, end);
  });
}

void batch_norm_sums_f32(const BatchNormSumsArgs<float>& args) {
  const std::int64_t channels = args.channels, chunk = rows_per_chunk(channels), width = 2 * channels;
  const std::vector<float> centre = rounded(args.mean, channels);
  std::vector<double> partials = make_partials<double>(args.rows, channels, width);
  parallel_for(args.rows, chunk, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(chunk_grad_sums)
    (args, centre.data(), begin, end, partials.data() + begin / chunk * width);
  });
  std::fill_n(args.sum_g, channels, 0.0);
  std::fill_n(args.sum_gn, channels, 0.0);
  const double* const last = partials.data() + partials.size();
  for (const double* sums = partials.data(); sums != last; sums += width) {
    for (std::int64_t c = 0; c < channels; ++c) {
      args.sum_g[c] += sums[c];
      args.sum_gn[c] += sums[channels + c];
    }
  }
  for (std::int64_t c = 0; c < channels; ++c) {
    const double rest_of_mean = args.mean[c] - static_cast<double>(centre[static_cast<std::size_t>(c)]);
    args.sum_gn[c] = (args.sum_gn[c] - rest_of_mean * args.sum_g[c]) * args.rstd[c];
  }
}

void batch_norm_grad_f32(const BatchNormGradArgs<float>& args) {
  const std::vector<float> centre = rounded(args.mean, args.channels);
  std::vector<float> scale(centre.size()), slope(centre.size()), shift(centre.size());
  const auto n = static_cast<double>(args.rows);
  for (std::size_t c = 0; c < centre.size(); ++c) {
    const double exact_scale = static_cast<double>(args.weight[c]) * args.rstd[c];
    scale[c] = static_cast<float>(exact_scale);
    if (!args.sum_g) continue;
    const double exact_slope = -exact_scale * args.rstd[c] * args.sum_gn[c] / n;
    const double rest_of_mean = args.mean[c] - static_cast<double>(centre[c]);
    slope[c] = static_cast<float>(exact_slope);
    shift[c] = static_cast<float>(-exact_scale * args.sum_g[c] / n - exact_slope * rest_of_mean);
  }
  parallel_for(args.rows, rows_per_chunk(args.channels), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(grad_rows)(args, centre.data(), scale.data(), slope.data(), shift.data(), begin, end);
  });
}

}  // namespace fovea::kernels
#endif
