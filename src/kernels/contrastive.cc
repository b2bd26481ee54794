#include "fovea/kernels/contrastive.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "fovea/core/parallel.h"
#include "fovea/kernels/gemm.h"
#include "kernels/scratch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/contrastive.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "hwy/highway.h"
#include "kernels/row-inl.h"

#ifndef FOVEA_KERNELS_CONTRASTIVE_ONCE
#define FOVEA_KERNELS_CONTRASTIVE_ONCE
namespace fovea::kernels {

// Some rows of a tile of A B^T, and what makes logits of them.
struct LogitRows {
  const float* dots;
  std::int64_t stride, rows, columns;
  std::int64_t label;  // the column of the first row's label; the next row's is one further
  float scale, bias;

  bool has_label(std::int64_t r) const { return label + r >= 0 && label + r < columns; }
  float dot_of_label(std::int64_t r) const { return dots[r * stride + label + r]; }
  float label_logit(std::int64_t r) const { return scale * dot_of_label(r) + bias; }
};

// sum_k e^(z_k) of several lines as total e^(largest) each.
struct RunningRows {
  float* largest;
  double* total;
};
struct RunningColumns {
  float *largest, *total;
};

// The gradients of a LogitRows' logits, times their scale, and their sums.
struct LogitGradients {
  float* data;
  std::int64_t stride;
  double dot_sum = 0, sum = 0;  // of gradient times dot; of gradients
};

struct InfoNceRows {
  const float *row_logsumexp, *column_logsumexp;  // of the first row, of the first column
  float row_weight, column_weight, uniform, peak;
};

}  // namespace fovea::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {
namespace {

// Calls f(column, lanes, dot, logit) for the vectors of one row.
template <class F>
HWY_INLINE void for_logits(const LogitRows& x, std::int64_t row, F&& f) {
  const VF32 scale = hn::Set(F32(), x.scale), bias = hn::Set(F32(), x.bias);
  for_lanes(x.columns, [&](std::int64_t j, auto lanes) {
    const VF32 dot = lanes.load(x.dots + row * x.stride + j);
    f(j, lanes, dot, hn::MulAdd(dot, scale, bias));
  });
}

// The larger of two, for the lanes that exist.
HWY_INLINE VF32 larger(WholeVector, VF32 a, VF32 b) { return hn::Max(a, b); }
HWY_INLINE VF32 larger(PartialVector some, VF32 a, VF32 b) {
  return hn::IfThenElse(hn::FirstN(F32(), some.lanes), hn::Max(a, b), a);
}

HWY_INLINE float total_of(VF32 v) { return hn::GetLane(hn::SumOfLanes(F32(), v)); }

// Adds the rows to their running sums; columns (of these rows alone) get theirs when they are wanted.
template <bool columns_too>
HWY_INLINE void logsumexp_rows_of(const LogitRows& x, const RunningRows& rows, const RunningColumns& columns) {
  const F32 d;
  if (columns_too) std::fill(columns.largest, columns.largest + x.columns, -__builtin_inff());
  for (std::int64_t r = 0; r < x.rows; ++r) {
    const float before = rows.largest[r];
    VF32 row_largest = hn::Set(d, before);
    for_logits(x, r, [&](std::int64_t j, auto lanes, VF32, VF32 z) {
      row_largest = larger(lanes, row_largest, z);
      if constexpr (columns_too) lanes.store(hn::Max(lanes.load(columns.largest + j), z), columns.largest + j);
    });
    rows.largest[r] = hn::GetLane(hn::MaxOfLanes(d, row_largest));
    rows.total[r] *= static_cast<double>(std::exp(before - rows.largest[r]));
  }
  if (columns_too) std::fill(columns.total, columns.total + x.columns, 0.0f);
  for (std::int64_t r = 0; r < x.rows; ++r) {
    const VF32 row_largest = hn::Set(d, rows.largest[r]);
    VF32 total = hn::Zero(d);
    for_logits(x, r, [&](std::int64_t j, auto lanes, VF32, VF32 z) {
      total = hn::Add(total, lanes.zero_rest(exp(d, hn::Sub(z, row_largest))));
      if constexpr (columns_too) {
        store_or_add(lanes, exp(d, hn::Sub(z, lanes.load(columns.largest + j))), columns.total + j, true);
      }
    });
    rows.total[r] += static_cast<double>(total_of(total));
  }
}
void logsumexp_rows(const LogitRows& x, const RunningRows& rows) { logsumexp_rows_of<false>(x, rows, {}); }
void logsumexp_rows_columns(const LogitRows& x, const RunningRows& rows, const RunningColumns& columns) {
  logsumexp_rows_of<true>(x, rows, columns);
}

// sum += other.
void merge_columns(const RunningColumns& sum, const RunningColumns& other, std::int64_t n) {
  const F32 d;
  for_lanes(n, [&](std::int64_t j, auto lanes) {
    const VF32 a = lanes.load(sum.largest + j), b = lanes.load(other.largest + j), largest = hn::Max(a, b);
    const VF32 old = hn::Mul(lanes.load(sum.total + j), exp(d, hn::Sub(a, largest)));
    lanes.store(hn::MulAdd(lanes.load(other.total + j), exp(d, hn::Sub(b, largest)), old), sum.total + j);
    lanes.store(largest, sum.largest + j);
  });
}

// Stores scale gradient(j, lanes, z) of one row and adds to the sums.
template <class F>
HWY_INLINE void logit_gradient_row(const LogitRows& x, std::int64_t r, LogitGradients& out, F&& gradient) {
  const F32 d;
  const VF32 scale = hn::Set(d, x.scale);
  VF32 dot_sum = hn::Zero(d), sum = hn::Zero(d);
  for_logits(x, r, [&](std::int64_t j, auto lanes, VF32 dot, VF32 z) {
    const VF32 dz = lanes.zero_rest(gradient(j, lanes, z));
    lanes.store(hn::Mul(dz, scale), out.data + r * out.stride + j);
    dot_sum = hn::MulAdd(dz, dot, dot_sum);
    sum = hn::Add(sum, dz);
  });
  out.dot_sum += static_cast<double>(total_of(dot_sum));
  out.sum += static_cast<double>(total_of(sum));
}

// Takes `peak` off the gradient of a row's label.
HWY_INLINE void subtract_at_label(const LogitRows& x, std::int64_t r, float dot, float peak, LogitGradients& out) {
  out.data[r * out.stride + x.label + r] -= peak * x.scale;
  out.dot_sum -= static_cast<double>(peak) * static_cast<double>(dot);
  out.sum -= static_cast<double>(peak);
}

template <bool columns_too>
HWY_INLINE void info_nce_gradients_of(const LogitRows& x, const InfoNceRows& terms, LogitGradients& out) {
  const F32 d;
  const VF32 row_weight = hn::Set(d, terms.row_weight), column_weight = hn::Set(d, terms.column_weight);
  const VF32 uniform = hn::Set(d, terms.uniform);
  for (std::int64_t r = 0; r < x.rows; ++r) {
    const float dot = x.has_label(r) ? x.dot_of_label(r) : 0;  // the gradients may overwrite the dots
    const VF32 row_shift = hn::Set(d, terms.row_logsumexp[r]);
    logit_gradient_row(x, r, out, [&](std::int64_t j, auto lanes, VF32 z) {
      VF32 dz = hn::MulSub(exp(d, hn::Sub(z, row_shift)), row_weight, uniform);
      if constexpr (columns_too) {
        dz = hn::MulAdd(exp(d, hn::Sub(z, lanes.load(terms.column_logsumexp + j))), column_weight, dz);
      }
      return dz;
    });
    if (x.has_label(r)) subtract_at_label(x, r, dot, terms.peak, out);
  }
}
void info_nce_gradients(const LogitRows& x, const InfoNceRows& terms, LogitGradients& out) {
  if (terms.column_logsumexp) {
    info_nce_gradients_of<true>(x, terms, out);
  } else {
    info_nce_gradients_of<false>(x, terms, out);
  }
}

double pair_sigmoid_sum(const LogitRows& x) {
  const F32 d;
  double sum = 0;
  for (std::int64_t r = 0; r < x.rows; ++r) {
    VF32 row = hn::Zero(d);
    for_logits(x, r,
               [&](std::int64_t, auto lanes, VF32, VF32 z) { row = hn::Add(row, lanes.zero_rest(softplus(d, z))); });
    sum += static_cast<double>(total_of(row));
    if (x.has_label(r)) sum -= static_cast<double>(x.label_logit(r));  // log(1 + e^-z) = log(1 + e^z) - z
  }
  return sum;
}

void pair_sigmoid_gradients(const LogitRows& x, float weight, LogitGradients& out) {
  const F32 d;
  const VF32 factor = hn::Set(d, weight);
  for (std::int64_t r = 0; r < x.rows; ++r) {
    const float dot = x.has_label(r) ? x.dot_of_label(r) : 0;
    logit_gradient_row(x, r, out, [&](std::int64_t, auto, VF32 z) { return hn::Mul(factor, sigmoid(d, z)); });
    if (x.has_label(r)) subtract_at_label(x, r, dot, weight, out);
  }
}

}  // namespace
}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::kernels {

HWY_EXPORT(logsumexp_rows);
HWY_EXPORT(logsumexp_rows_columns);
HWY_EXPORT(merge_columns);
HWY_EXPORT(info_nce_gradients);
HWY_EXPORT(pair_sigmoid_sum);
HWY_EXPORT(pair_sigmoid_gradients);

namespace {

constexpr std::int64_t tile_extent = 1024;  // rows and columns of a tile: 4 MB
constexpr std::int64_t chunk_rows = 64;     // of a tile that one thread takes at a time
constexpr std::int64_t max_chunks = tile_extent / chunk_rows;

struct Tile {
  std::int64_t row, rows, column, columns;
  std::int64_t chunks() const { return chunk_count(rows, chunk_rows); }
};

std::int64_t tile_floats(const ContrastivePairs<float>& pairs) {
  return std::min(pairs.rows, tile_extent) * std::min(pairs.columns, tile_extent);
}

template <class F>
void for_each_tile(const ContrastivePairs<float>& pairs, F&& f) {
  for (std::int64_t row = 0; row < pairs.rows; row += tile_extent) {
    for (std::int64_t column = 0; column < pairs.columns; column += tile_extent) {
      f(Tile{row, std::min(tile_extent, pairs.rows - row), column, std::min(tile_extent, pairs.columns - column)});
    }
  }
}

void multiply_tile_of(const ContrastivePairs<float>& pairs, const Tile& tile, float* out, std::int64_t stride) {
  gemm_f32(tile.rows, tile.columns, pairs.dim, {pairs.a + tile.row * pairs.dim, pairs.dim},
           {pairs.b + tile.column * pairs.dim, pairs.dim, true}, out, stride);
}

// Calls f(chunk, first row in the tile, its logits) on several threads.
template <class F>
void for_each_chunk(const ContrastivePairs<float>& pairs, const Tile& tile, const float* dots, std::int64_t stride,
                    F&& f) {
  parallel_for(tile.rows, chunk_rows, [&](std::int64_t begin, std::int64_t end) {
    f(begin / chunk_rows, begin,
      LogitRows{dots + begin * stride, stride, end - begin, tile.columns,
                tile.row + begin + pairs.label_offset - tile.column, static_cast<float>(pairs.scale),
                static_cast<float>(pairs.bias)});
  });
}

// Computes A B^T tile by tile, into `dots` where that is given, and calls f(tile, tile's dots, their stride).
template <class F>
void for_each_product(const ContrastivePairs<float>& pairs, float* dots, F&& f) {
  const Scratch<float> buffer(dots ? 0 : tile_floats(pairs));
  for_each_tile(pairs, [&](const Tile& tile) {
    float* to = dots ? dots + tile.row * pairs.columns + tile.column : buffer.data();
    const std::int64_t stride = dots ? pairs.columns : tile.columns;
    multiply_tile_of(pairs, tile, to, stride);
    f(tile, static_cast<const float*>(to), stride);
  });
}

void clear(const GradTarget<float>& target, std::int64_t count) {
  if (target && !target.accumulate) std::fill(target.data, target.data + count, 0.0f);
}

// Gradients of the features from those of the logits, which logit_gradients(tile, first row, logits, out) computes.
template <class F>
void contrastive_backward(const ContrastivePairs<float>& pairs, const float* dots, ContrastiveGradients<float>& out,
                          F&& logit_gradients) {
  const std::int64_t dim = pairs.dim;
  clear(out.a, pairs.rows * dim);  // first of all: both may be one array
  clear(out.b, pairs.columns * dim);
  out.scale = out.bias = 0;
  const Scratch<float> gradients(tile_floats(pairs));
  for_each_tile(pairs, [&](const Tile& tile) {
    if (!dots) multiply_tile_of(pairs, tile, gradients.data(), tile.columns);
    const float* from = dots ? dots + tile.row * pairs.columns + tile.column : gradients.data();
    LogitGradients parts[max_chunks];
    for_each_chunk(pairs, tile, from, dots ? pairs.columns : tile.columns,
                   [&](std::int64_t chunk, std::int64_t row, const LogitRows& logits) {
                     parts[chunk].data = gradients.data() + row * tile.columns;
                     parts[chunk].stride = tile.columns;
                     logit_gradients(tile, row, logits, parts[chunk]);
                   });
    for (std::int64_t chunk = 0; chunk < tile.chunks(); ++chunk) {
      out.scale += parts[chunk].dot_sum;
      out.bias += parts[chunk].sum;
    }
    if (out.a) {
      gemm_f32(tile.rows, dim, tile.columns, {gradients.data(), tile.columns}, {pairs.b + tile.column * dim, dim},
               out.a.data + tile.row * dim, dim, {.accumulate = true});
    }
    if (out.b) {
      gemm_f32(tile.columns, dim, tile.rows, {gradients.data(), tile.columns, true}, {pairs.a + tile.row * dim, dim},
               out.b.data + tile.column * dim, dim, {.accumulate = true});
    }
  });
}

}  // namespace

void info_nce_forward_f32(const ContrastivePairs<float>& pairs, float* row_logsumexp, float* column_logsumexp,
                          float* label_logits, float* dots) {
  constexpr float lowest = -std::numeric_limits<float>::infinity();
  const Scratch<double> row_total(pairs.rows);
  const Scratch<float> column_total(column_logsumexp ? pairs.columns : 0);
  const std::int64_t width = std::min(tile_extent, pairs.columns);
  const Scratch<float> parts(column_logsumexp ? 2 * max_chunks * width : 0);
  const auto part = [&](std::int64_t chunk) {
    return RunningColumns{parts.data() + 2 * chunk * width, parts.data() + (2 * chunk + 1) * width};
  };
  // While sums run, the results hold the largest logits.
  std::fill(row_logsumexp, row_logsumexp + pairs.rows, lowest);
  std::fill(row_total.data(), row_total.data() + pairs.rows, 0.0);
  if (column_logsumexp) {
    std::fill(column_logsumexp, column_logsumexp + pairs.columns, lowest);
    std::fill(column_total.data(), column_total.data() + pairs.columns, 0.0f);
  }
  for_each_product(pairs, dots, [&](const Tile& tile, const float* products, std::int64_t stride) {
    for_each_chunk(pairs, tile, products, stride, [&](std::int64_t chunk, std::int64_t begin, const LogitRows& x) {
      const std::int64_t row = tile.row + begin;
      const RunningRows rows{row_logsumexp + row, row_total.data() + row};
      if (column_logsumexp) {
        HWY_DYNAMIC_DISPATCH(logsumexp_rows_columns)(x, rows, part(chunk));
      } else {
        HWY_DYNAMIC_DISPATCH(logsumexp_rows)(x, rows);
      }
      for (std::int64_t r = 0; r < x.rows; ++r) {
        if (x.has_label(r)) label_logits[row + r] = x.label_logit(r);
      }
    });
    for (std::int64_t chunk = 0; column_logsumexp && chunk < tile.chunks(); ++chunk) {
      HWY_DYNAMIC_DISPATCH(merge_columns)
      ({column_logsumexp + tile.column, column_total.data() + tile.column}, part(chunk), tile.columns);
    }
  });
  for (std::int64_t i = 0; i < pairs.rows; ++i) row_logsumexp[i] += static_cast<float>(std::log(row_total[i]));
  for (std::int64_t j = 0; column_logsumexp && j < pairs.columns; ++j) column_logsumexp[j] += std::log(column_total[j]);
}

void info_nce_backward_f32(const ContrastivePairs<float>& pairs, const InfoNceTerms<float>& terms, const float* dots,
                           ContrastiveGradients<float>& gradients) {
  const double smoothing = terms.label_smoothing;
  const double column_weight = terms.column_logsumexp ? terms.column_weight : 0;
  const std::int64_t all_rows = terms.all_rows > 0 ? terms.all_rows : pairs.rows;
  const std::int64_t all_columns = terms.all_columns > 0 ? terms.all_columns : pairs.columns;
  const double uniform =
      smoothing * (terms.row_weight / static_cast<double>(all_columns) + column_weight / static_cast<double>(all_rows));
  const auto peak = static_cast<float>((1 - smoothing) * (terms.row_weight + column_weight));
  contrastive_backward(pairs, dots, gradients,
                       [&](const Tile& tile, std::int64_t row, const LogitRows& logits, LogitGradients& out) {
                         const float* columns = terms.column_logsumexp ? terms.column_logsumexp + tile.column : nullptr;
                         HWY_DYNAMIC_DISPATCH(info_nce_gradients)
                         (logits,
                          {terms.row_logsumexp + tile.row + row, columns, static_cast<float>(terms.row_weight),
                           static_cast<float>(column_weight), static_cast<float>(uniform), peak},
                          out);
                       });
}

double pair_sigmoid_forward_f32(const ContrastivePairs<float>& pairs, float* dots) {
  double total = 0;
  for_each_product(pairs, dots, [&](const Tile& tile, const float* products, std::int64_t stride) {
    double parts[max_chunks];
    for_each_chunk(pairs, tile, products, stride, [&](std::int64_t chunk, std::int64_t, const LogitRows& x) {
      parts[chunk] = HWY_DYNAMIC_DISPATCH(pair_sigmoid_sum)(x);
    });
    for (std::int64_t chunk = 0; chunk < tile.chunks(); ++chunk) total += parts[chunk];
  });
  return total;
}

void pair_sigmoid_backward_f32(const ContrastivePairs<float>& pairs, double weight, const float* dots,
                               ContrastiveGradients<float>& gradients) {
  contrastive_backward(pairs, dots, gradients,
                       [&](const Tile&, std::int64_t, const LogitRows& logits, LogitGradients& out) {
                         HWY_DYNAMIC_DISPATCH(pair_sigmoid_gradients)(logits, static_cast<float>(weight), out);
                       });
}

}  // namespace fovea::kernels
#endif
