#include "fovea/kernels/batch_norm.h"

#include <algorithm>
#include <vector>

#include "fovea/core/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/batch_norm.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/math-inl.h"
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

// Per channel, the value before the residual and the activation is (x - centre) * scale + shift.
struct ChannelLine {
  const float *centre, *scale, *shift;

  template <class Lanes>
  VF32 centred(const Lanes& lanes, const float* x, std::int64_t c) const {
    return hn::Sub(lanes.load(x), lanes.load(centre + c));
  }
  template <class Lanes>
  VF32 at(const Lanes& lanes, VF32 centred_x, std::int64_t c) const {
    return hn::MulAdd(centred_x, lanes.load(scale + c), lanes.load(shift + c));
  }
};

template <Activation kind>
void normalise_rows_as(const BatchNormArgs<float>& args, const ChannelLine& line, std::int64_t begin,
                       std::int64_t end) {
  const F32 d;
  for (std::int64_t r = begin; r < end; ++r) {
    const std::int64_t row = r * args.channels;
    const float* factor = args.gate.factor ? args.gate.factor + r / args.gate.rows * args.channels : nullptr;
    for_lanes(args.channels, [&](std::int64_t c, auto lanes) HWY_ATTR {
      VF32 y = line.at(lanes, line.centred(lanes, args.x + row + c, c), c);
      if (args.residual) y = hn::Add(y, lanes.load(args.residual + row + c));
      y = activate<kind>(d, y);
      if (factor) y = hn::Mul(y, lanes.load(factor + c));
      lanes.store(y, args.y + row + c);
    });
  }
}

// Adds to `sums` (2, channels), of which the second half is of no use, the ungated y of rows [begin, end), or y * dy.
void sum_activations(const BatchNormArgs<float>& args, const float* centre, const float* scale, const float* shift,
                     const float* dy, std::int64_t begin, std::int64_t end, double* sums) {
  const F32 d;
  const ChannelLine line{centre, scale, shift};
  with_activation(args.activation, [&]<Activation kind>() HWY_ATTR {
    const auto term = [&](std::int64_t r, std::int64_t c, const auto& lanes, VF32& sum, VF32&) HWY_ATTR {
      const std::int64_t at = (begin + r) * args.channels + c;
      const VF32 y = activate<kind>(d, line.at(lanes, line.centred(lanes, args.x + at, c), c));
      sum = dy ? hn::MulAdd(y, lanes.load(dy + at), sum) : hn::Add(sum, y);
    };
    sum_terms(end - begin, args.channels, sums, term);
  });
}

void normalise_rows(const BatchNormArgs<float>& args, const float* centre, const float* scale, const float* shift,
                    std::int64_t begin, std::int64_t end) {
  with_activation(args.activation, [&]<Activation kind>() HWY_ATTR {
    normalise_rows_as<kind>(args, {centre, scale, shift}, begin, end);
  });
}

// The gate of one sample; null pointers without one.
struct RowGate {
  const float *factor, *offset;
};
HWY_INLINE RowGate gate_of(const BatchNormInput<float>& in, std::int64_t row) {
  if (!in.gate.factor) return {nullptr, nullptr};
  const std::int64_t at = row / in.gate.rows * in.channels;
  return {in.gate.factor + at, in.gate.offset + at};
}

// dy, through the gate, times the derivative of the activation, at element i of channel c.
template <Activation kind, class Lanes>
HWY_INLINE VF32 passed(const BatchNormInput<float>& in, const ChannelLine& line, const RowGate& gate,
                       const Lanes& lanes, std::int64_t i, std::int64_t c, VF32 centred) {
  const F32 d;
  VF32 g = lanes.load(in.dy + i);
  if (gate.factor) g = hn::MulAdd(g, lanes.load(gate.factor + c), lanes.load(gate.offset + c));
  if constexpr (kind == Activation::none) {
    return g;
  } else if constexpr (kind == Activation::relu) {
    return hn::IfThenElseZero(hn::Gt(lanes.load(in.y + i), hn::Zero(d)), g);
  } else {
    return hn::Mul(g, activate_grad<kind>(d, line.at(lanes, centred, c)));
  }
}

// Sums of g and of g * (x - centre) over the rows [begin, end). `sums` is (2, channels), all zero at first.
void chunk_grad_sums(const BatchNormInput<float>& in, const float* centre, const float* scale, const float* shift,
                     std::int64_t begin, std::int64_t end, double* sums) {
  const ChannelLine line{centre, scale, shift};
  with_activation(in.activation, [&]<Activation kind>() HWY_ATTR {
    // The rows of one sample after those of another, as far as there are gates.
    for (std::int64_t first = begin; first < end;) {
      const RowGate gate = gate_of(in, first);
      const std::int64_t last = gate.factor ? std::min(end, (first / in.gate.rows + 1) * in.gate.rows) : end;
      const auto term = [&](std::int64_t r, std::int64_t c, const auto& lanes, VF32& sum_g, VF32& sum_product)
                            HWY_ATTR {
                              const std::int64_t at = (first + r) * in.channels + c;
                              const VF32 centred = line.centred(lanes, in.x + at, c);
                              const VF32 g = passed<kind>(in, line, gate, lanes, at, c, centred);
                              sum_g = hn::Add(sum_g, g);
                              sum_product = hn::MulAdd(g, centred, sum_product);
                            };
      sum_terms(last - first, in.channels, sums, term);
      first = last;
    }
  });
}

// dx = g * scale + (x - centre) * slope + offset for the rows [begin, end), and dresidual = g.
struct GradLine {
  const float *scale, *slope, *offset;
};

template <Activation kind>
void grad_rows_as(const BatchNormGradArgs<float>& args, const ChannelLine& line, const GradLine& grad,
                  std::int64_t begin, std::int64_t end) {
  const BatchNormInput<float>& in = args.in;
  for (std::int64_t r = begin; r < end; ++r) {
    const std::int64_t row = r * in.channels;
    const RowGate gate = gate_of(in, r);
    for_lanes(in.channels, [&](std::int64_t c, auto lanes) HWY_ATTR {
      const VF32 centred = line.centred(lanes, in.x + row + c, c);
      const VF32 g = passed<kind>(in, line, gate, lanes, row + c, c, centred);
      if (args.dx) {
        VF32 dx = hn::Mul(g, lanes.load(grad.scale + c));
        if (args.sum_g) dx = hn::Add(dx, hn::MulAdd(centred, lanes.load(grad.slope + c), lanes.load(grad.offset + c)));
        store_or_add(lanes, dx, args.dx.data + row + c, args.dx.accumulate);
      }
      if (args.dresidual) store_or_add(lanes, g, args.dresidual.data + row + c, args.dresidual.accumulate);
    });
  }
}

void grad_rows(const BatchNormGradArgs<float>& args, const float* centre, const float* shift, const float* scale,
               const float* slope, const float* offset, std::int64_t begin, std::int64_t end) {
  with_activation(args.in.activation, [&]<Activation kind>() HWY_ATTR {
    grad_rows_as<kind>(args, {centre, scale, shift}, {scale, slope, offset}, begin, end);
  });
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::kernels {

HWY_EXPORT(chunk_moments);
HWY_EXPORT(normalise_rows);
HWY_EXPORT(sum_activations);
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

// y = (x - centre) * scale + shift per channel. `centre` is the part of the mean that fits f32: subtracting it first is
// exact near the mean; what it leaves is small.
struct ChannelLines {
  std::vector<float> centre, scale, shift;

  ChannelLines(std::int64_t channels, const double* mean, const double* rstd, const float* weight, const float* bias)
      : centre(mean, mean + channels), scale(centre.size()), shift(centre.size()) {
    for (std::size_t c = 0; c < centre.size(); ++c) {
      const double exact_scale = static_cast<double>(weight[c]) * rstd[c];
      const double rest_of_mean = mean[c] - static_cast<double>(centre[c]);
      scale[c] = static_cast<float>(exact_scale);
      shift[c] = static_cast<float>(static_cast<double>(bias[c]) - rest_of_mean * exact_scale);
    }
  }
  explicit ChannelLines(const BatchNormInput<float>& in)
      : ChannelLines(in.channels, in.mean, in.rstd, in.weight, in.bias) {}
};

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
  const ChannelLines line(args.channels, args.mean, args.rstd, args.weight, args.bias);
  parallel_for(args.rows, rows_per_chunk(args.channels), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(normalise_rows)(args, line.centre.data(), line.scale.data(), line.shift.data(), begin, end);
  });
}

void batch_norm_sample_sums_f32(const BatchNormArgs<float>& args, const float* dy, float* sums) {
  const std::int64_t channels = args.channels, rows = args.gate.rows;
  const ChannelLines line(channels, args.mean, args.rstd, args.weight, args.bias);
  parallel_for(args.rows / rows, 1, [&](std::int64_t n, std::int64_t end) {
    std::vector<double> total(static_cast<std::size_t>(2 * channels));
    for (; n < end; ++n) {
      std::fill(total.begin(), total.end(), 0.0);
      HWY_DYNAMIC_DISPATCH(sum_activations)
      (args, line.centre.data(), line.scale.data(), line.shift.data(), dy, n * rows, (n + 1) * rows, total.data());
      std::copy_n(total.begin(), channels, sums + n * channels);
    }
  });
}

void batch_norm_sums_f32(const BatchNormInput<float>& in, double* sum_g, double* sum_gn) {
  const std::int64_t channels = in.channels, chunk = rows_per_chunk(channels), width = 2 * channels;
  const ChannelLines line(in);
  std::vector<double> partials = make_partials<double>(in.rows, channels, width);
  parallel_for(in.rows, chunk, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(chunk_grad_sums)
    (in, line.centre.data(), line.scale.data(), line.shift.data(), begin, end, partials.data() + begin / chunk * width);
  });
  std::fill_n(sum_g, channels, 0.0);
  std::fill_n(sum_gn, channels, 0.0);
  const double* const last = partials.data() + partials.size();
  for (const double* sums = partials.data(); sums != last; sums += width) {
    for (std::int64_t c = 0; c < channels; ++c) {
      sum_g[c] += sums[c];
      sum_gn[c] += sums[channels + c];
    }
  }
  for (std::int64_t c = 0; c < channels; ++c) {
    const double rest_of_mean = in.mean[c] - static_cast<double>(line.centre[static_cast<std::size_t>(c)]);
    sum_gn[c] = (sum_gn[c] - rest_of_mean * sum_g[c]) * in.rstd[c];
  }
}

void batch_norm_grad_f32(const BatchNormGradArgs<float>& args) {
  const BatchNormInput<float>& in = args.in;
  const ChannelLines line(in);
  std::vector<float> slope(line.centre.size()), offset(line.centre.size());
  const auto n = static_cast<double>(in.rows);
  for (std::size_t c = 0; args.sum_g && c < slope.size(); ++c) {
    const double scale = static_cast<double>(in.weight[c]) * in.rstd[c];
    const double exact_slope = -scale * in.rstd[c] * args.sum_gn[c] / n;
    const double rest_of_mean = in.mean[c] - static_cast<double>(line.centre[c]);
    slope[c] = static_cast<float>(exact_slope);
    offset[c] = static_cast<float>(-scale * args.sum_g[c] / n - exact_slope * rest_of_mean);
  }
  parallel_for(in.rows, rows_per_chunk(in.channels), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(grad_rows)
    (args, line.centre.data(), line.shift.data(), line.scale.data(), slope.data(), offset.data(), begin, end);
  });
}

}  // namespace fovea::kernels
#endif
