#include "fovea/kernels/attention.h"

#include <algorithm>
#include <vector>

#include "fovea/core/parallel.h"
#include "fovea/core/storage.h"

#ifndef FOVEA_KERNELS_ATTENTION_ONCE_
#define FOVEA_KERNELS_ATTENTION_ONCE_
namespace fovea::kernels {
namespace {

// One head of one sequence, and which of its queries to do.
struct AttentionTask {
  std::int64_t sequence, head, first_query, last_query;
};

struct AttentionInputs {
  HeadRows<float> q, k, v;
};

struct AttentionGradients {
  HeadRows<float> out, dout;
  HeadOutput<float> dq, dk, dv;
};

// Register tile: 6 rows times 2 vectors of sums fill the 16 registers of AVX2 and SSE; 32 registers hold 4 vectors.
constexpr std::size_t tile_rows = 6;
// Queries whose scores are in memory at a time.
constexpr std::size_t strip_rows = 4 * tile_rows;

constexpr std::size_t round_up(std::size_t n, std::size_t multiple) { return (n + multiple - 1) / multiple * multiple; }

}  // namespace
}  // namespace fovea::kernels
#endif

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "hwy/highway.h"
#include "kernels/row-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {

constexpr std::size_t tile_vectors = HWY_TARGET <= HWY_AVX3 ? 4 : 2;

// Element (r, k) of the left factor of a product is data[r * row + k * step].
struct LeftFactor {
  const float* data;
  std::size_t row, step;
};

// A matrix in scratch memory: rows are aligned to vectors and padded with zeros to a whole number of them.
struct Block {
  float* data;
  std::size_t stride;

  float* row(std::size_t r) const { return data + r * stride; }
};

// Scratch memory of one task, handed out in aligned pieces.
class Scratch {
 public:
  explicit Scratch(std::size_t floats)
      : storage_(floats * sizeof(float)), next_(static_cast<float*>(storage_.data())) {}
  Block take(std::size_t rows, std::size_t stride) {
    const Block block{next_, stride};
    next_ += size(rows, stride);
    return block;
  }
  // Floats that such a block occupies.
  static std::size_t size(std::size_t rows, std::size_t stride) {
    return round_up(rows * stride, allocator::alignment / sizeof(float));
  }

 private:
  Storage storage_;
  float* next_;
};

// c (6, vectors) = or += sum over k < depth of left(r, k) right(k, c).
template <std::size_t vectors, bool add>
HWY_INLINE void multiply_tile(const LeftFactor& left, std::size_t depth, const float* right, std::size_t right_stride,
                              float* c, std::size_t c_stride) {
  const RowTag d;
  const std::size_t lanes = hn::Lanes(d);
  RowVec sums[tile_rows][vectors];
  for (std::size_t r = 0; r < tile_rows; ++r) {
    for (std::size_t v = 0; v < vectors; ++v)
      sums[r][v] = add ? hn::Load(d, c + r * c_stride + v * lanes) : hn::Zero(d);
  }
  for (std::size_t k = 0; k < depth; ++k) {
    RowVec row[vectors];
    for (std::size_t v = 0; v < vectors; ++v) row[v] = hn::Load(d, right + k * right_stride + v * lanes);
    for (std::size_t r = 0; r < tile_rows; ++r) {
      const RowVec factor = hn::Set(d, left.data[r * left.row + k * left.step]);
      for (std::size_t v = 0; v < vectors; ++v) sums[r][v] = hn::MulAdd(factor, row[v], sums[r][v]);
    }
  }
  for (std::size_t r = 0; r < tile_rows; ++r) {
    for (std::size_t v = 0; v < vectors; ++v) hn::Store(sums[r][v], d, c + r * c_stride + v * lanes);
  }
}

template <std::size_t vectors, bool add>
HWY_INLINE void multiply_panel(const LeftFactor& left, std::size_t depth, const Block& right, const Block& c,
                               std::size_t rows, std::size_t column) {
  for (std::size_t r = 0; r < rows; r += tile_rows) {
    const LeftFactor tile{left.data + r * left.row, left.row, left.step};
    multiply_tile<vectors, add>(tile, depth, right.data + column, right.stride, c.row(r) + column, c.stride);
  }
}

// c (rows, columns) = or += left (rows, depth) right (depth, columns); rows are a multiple of the tile's, columns of
// the lanes.
template <bool add>
HWY_NOINLINE void multiply(const LeftFactor& left, std::size_t depth, const Block& right, const Block& c,
                           std::size_t rows, std::size_t columns) {
  const std::size_t lanes = hn::Lanes(RowTag());
  std::size_t column = 0;
  for (; column + tile_vectors * lanes <= columns; column += tile_vectors * lanes) {
    multiply_panel<tile_vectors, add>(left, depth, right, c, rows, column);
  }
  if (tile_vectors > 2 && column + 2 * lanes <= columns) {
    multiply_panel<2, add>(left, depth, right, c, rows, column);
    column += 2 * lanes;
  }
  if (column < columns) multiply_panel<1, add>(left, depth, right, c, rows, column);
}

// to (n, padded to vectors) = factor * from.
HWY_INLINE void pack_row(const float* from, std::size_t n, float factor, float* to) {
  const RowTag d;
  const RowVec scale = hn::Set(d, factor);
  for (std::size_t i = 0; i < n; i += hn::Lanes(d))
    hn::Store(hn::Mul(load_first(d, from + i, n - i, 0), scale), d, to + i);
}

// `count` rows of n channels, then rows of zeros up to `rows`.
HWY_INLINE void pack_rows(const float* from, std::size_t from_stride, std::size_t count, std::size_t n, float factor,
                          const Block& to, std::size_t rows) {
  for (std::size_t r = 0; r < count; ++r) pack_row(from + r * from_stride, n, factor, to.row(r));
  std::fill(to.row(count), to.row(std::max(rows, count)), 0.0f);
}

// to (4, 4) = from (4, 4) transposed; the scalar target moves single elements instead.
#if HWY_TARGET == HWY_SCALAR
constexpr std::size_t transposed_side = 1;
HWY_INLINE void transpose_square(const float* from, std::size_t, float* to, std::size_t) { *to = *from; }
#else
constexpr std::size_t transposed_side = 4;
HWY_INLINE void transpose_square(const float* from, std::size_t from_stride, float* to, std::size_t to_stride) {
  const hn::FixedTag<float, 4> d;
  const auto r0 = hn::LoadU(d, from), r1 = hn::LoadU(d, from + from_stride);
  const auto r2 = hn::LoadU(d, from + 2 * from_stride), r3 = hn::LoadU(d, from + 3 * from_stride);
  const auto even_low = hn::InterleaveLower(d, r0, r2), odd_low = hn::InterleaveLower(d, r1, r3);
  const auto even_high = hn::InterleaveUpper(d, r0, r2), odd_high = hn::InterleaveUpper(d, r1, r3);
  hn::Store(hn::InterleaveLower(d, even_low, odd_low), d, to);
  hn::Store(hn::InterleaveUpper(d, even_low, odd_low), d, to + to_stride);
  hn::Store(hn::InterleaveLower(d, even_high, odd_high), d, to + 2 * to_stride);
  hn::Store(hn::InterleaveUpper(d, even_high, odd_high), d, to + 3 * to_stride);
}
#endif

// to (n, count) = from (count, n) transposed, with zeros up to the stride of `to`.
HWY_INLINE void pack_transposed(const float* from, std::size_t from_stride, std::size_t count, std::size_t n,
                                const Block& to) {
  constexpr std::size_t side = transposed_side;
  const std::size_t whole_rows = count / side * side, whole_columns = n / side * side;
  for (std::size_t r = 0; r < whole_rows; r += side) {
    for (std::size_t c = 0; c < whole_columns; c += side) {
      transpose_square(from + r * from_stride + c, from_stride, to.row(c) + r, to.stride);
    }
  }
  for (std::size_t c = 0; c < n; ++c) {
    for (std::size_t r = c < whole_columns ? whole_rows : 0; r < count; ++r) to.row(c)[r] = from[r * from_stride + c];
    std::fill(to.row(c) + count, to.row(c) + to.stride, 0.0f);
  }
}

// to (+)= factor * from, n channels.
HWY_INLINE void put_row(const float* from, std::size_t n, float factor, float* to, bool accumulate) {
  const RowTag d;
  const RowVec scale = hn::Set(d, factor);
  for (std::size_t i = 0; i < n; i += hn::Lanes(d)) {
    put_first(hn::Mul(hn::Load(d, from + i), scale), d, to + i, n - i, accumulate);
  }
}

// Extents that the buffers of one task are made for.
struct TaskShape {
  std::size_t head_dim, keys;
  std::size_t channels;  // head_dim in whole vectors
  std::size_t columns;   // keys in whole tiles and vectors: keys are rows of their own gradients, too

  TaskShape(const AttentionProblem& p, std::int64_t sequence)
      : head_dim(static_cast<std::size_t>(p.head_dim)),
        keys(static_cast<std::size_t>(p.keys(sequence))),
        channels(round_up(head_dim, hn::Lanes(RowTag()))),
        columns(padded(keys)) {}
  static std::size_t padded(std::size_t key_count) {
    return round_up(round_up(key_count, tile_rows), hn::Lanes(RowTag()));
  }
};

// Row r of a strip is query first + r of its sequence.
struct Strip {
  std::int64_t first;
  std::size_t rows;
  std::size_t tiled_rows;  // in whole tiles
  std::size_t keys;        // that the last query, and so any, sees
  std::size_t columns;     // those in whole tiles and vectors

  Strip(const AttentionProblem& p, const AttentionTask& task, std::int64_t first_query)
      : first(first_query),
        rows(std::min(strip_rows, static_cast<std::size_t>(task.last_query - first_query))),
        tiled_rows(round_up(rows, tile_rows)),
        keys(static_cast<std::size_t>(p.visible_keys(task.sequence, first + static_cast<std::int64_t>(rows) - 1))),
        columns(TaskShape::padded(keys)) {}
};

template <class Rows>
HWY_INLINE auto head_row(const Rows& rows, std::int64_t token, std::int64_t channel) {
  return rows.data + token * rows.stride + channel;
}

HWY_INLINE std::size_t row_stride(const HeadRows<float>& rows) { return static_cast<std::size_t>(rows.stride); }

// Scores of one query become e^(score - largest), zero from `visible` on; returns their sum and the largest score.
struct ExpRow {
  float sum, largest;
};
HWY_INLINE ExpRow exp_row(float* scores, std::size_t visible, std::size_t columns) {
  std::fill(scores + visible, scores + columns, -__builtin_inff());
  const float largest = row_max(scores, columns);
  return {static_cast<float>(row_exp_sum<true>(scores, columns, largest, scores)), largest};
}

void attention_forward_task(const AttentionProblem& p, const AttentionInputs& in, const HeadOutput<float>& out,
                            float* logsumexp, const AttentionTask& task) {
  const TaskShape shape(p, task.sequence);
  Scratch scratch(Scratch::size(shape.head_dim, shape.columns) + Scratch::size(shape.keys, shape.channels) +
                  2 * Scratch::size(strip_rows, shape.channels) + Scratch::size(strip_rows, shape.columns));
  const Block keys = scratch.take(shape.head_dim, shape.columns), values = scratch.take(shape.keys, shape.channels);
  const Block queries = scratch.take(strip_rows, shape.channels), result = scratch.take(strip_rows, shape.channels);
  const Block scores = scratch.take(strip_rows, shape.columns);

  const std::int64_t channel = task.head * p.head_dim;
  const std::int64_t first_key = p.kv_offsets[task.sequence], first_token = p.q_offsets[task.sequence];
  pack_transposed(head_row(in.k, first_key, channel), row_stride(in.k), shape.keys, shape.head_dim, keys);
  pack_rows(head_row(in.v, first_key, channel), row_stride(in.v), shape.keys, shape.head_dim, 1, values, 0);

  for (std::int64_t i = task.first_query; i < task.last_query; i += static_cast<std::int64_t>(strip_rows)) {
    const Strip strip(p, task, i);
    pack_rows(head_row(in.q, first_token + i, channel), row_stride(in.q), strip.rows, shape.head_dim,
              static_cast<float>(p.scale), queries, strip.tiled_rows);
    multiply<false>({queries.data, queries.stride, 1}, shape.head_dim, keys, scores, strip.tiled_rows, strip.columns);
    float inverse_sum[strip_rows];
    for (std::size_t r = 0; r < strip.rows; ++r) {
      const std::int64_t query = i + static_cast<std::int64_t>(r);
      const auto visible = static_cast<std::size_t>(p.visible_keys(task.sequence, query));
      float& saved = logsumexp[task.head * p.query_tokens() + first_token + query];
      if (visible == 0) {
        std::fill(scores.row(r), scores.row(r) + strip.columns, 0.0f);
        saved = inverse_sum[r] = 0;
        continue;
      }
      const ExpRow row = exp_row(scores.row(r), visible, strip.columns);
      saved = row.largest + __builtin_logf(row.sum);
      inverse_sum[r] = 1 / row.sum;
    }
    multiply<false>({scores.data, scores.stride, 1}, strip.keys, values, result, strip.tiled_rows, shape.channels);
    for (std::size_t r = 0; r < strip.rows; ++r) {
      put_row(result.row(r), shape.head_dim, inverse_sum[r],
              head_row(out, first_token + i + static_cast<std::int64_t>(r), channel), out.accumulate);
    }
  }
}

// Turns scores into probabilities, and gradients of probabilities into those of scores:
// p = e^(score - logsumexp), dscore = p (dp - <dout, out>); both zero from `visible` on.
HWY_INLINE void softmax_grad_row(float* scores, float* gradients, std::size_t visible, std::size_t columns,
                                 float logsumexp, float mean) {
  const RowTag d;
  const RowVec shift = hn::Set(d, logsumexp), centre = hn::Set(d, mean);
  std::fill(scores + visible, scores + columns, -__builtin_inff());
  for (std::size_t i = 0; i < columns; i += hn::Lanes(d)) {
    const RowVec p = exp_keeping_nan(d, hn::Sub(hn::Load(d, scores + i), shift));
    hn::Store(p, d, scores + i);
    hn::Store(hn::Mul(p, hn::Sub(hn::Load(d, gradients + i), centre)), d, gradients + i);
  }
}

void attention_backward_task(const AttentionProblem& p, const AttentionInputs& in, const AttentionGradients& grad,
                             const float* logsumexp, const AttentionTask& task) {
  const TaskShape shape(p, task.sequence);
  const std::size_t tiled_keys = round_up(shape.keys, tile_rows);
  Scratch scratch(2 * Scratch::size(shape.head_dim, shape.columns) + Scratch::size(shape.keys, shape.channels) +
                  2 * Scratch::size(tiled_keys, shape.channels) + 3 * Scratch::size(strip_rows, shape.channels) +
                  2 * Scratch::size(strip_rows, shape.columns));
  const Block keys_t = scratch.take(shape.head_dim, shape.columns),
              values_t = scratch.take(shape.head_dim, shape.columns);
  const Block keys = scratch.take(shape.keys, shape.channels);
  const Block dkeys = scratch.take(tiled_keys, shape.channels), dvalues = scratch.take(tiled_keys, shape.channels);
  const Block queries = scratch.take(strip_rows, shape.channels), dout = scratch.take(strip_rows, shape.channels);
  const Block dqueries = scratch.take(strip_rows, shape.channels);
  const Block scores = scratch.take(strip_rows, shape.columns), dscores = scratch.take(strip_rows, shape.columns);

  const std::int64_t channel = task.head * p.head_dim;
  const std::int64_t first_key = p.kv_offsets[task.sequence], first_token = p.q_offsets[task.sequence];
  pack_transposed(head_row(in.k, first_key, channel), row_stride(in.k), shape.keys, shape.head_dim, keys_t);
  pack_transposed(head_row(in.v, first_key, channel), row_stride(in.v), shape.keys, shape.head_dim, values_t);
  pack_rows(head_row(in.k, first_key, channel), row_stride(in.k), shape.keys, shape.head_dim, 1, keys, 0);
  std::fill(dkeys.data, dkeys.row(tiled_keys), 0.0f);
  std::fill(dvalues.data, dvalues.row(tiled_keys), 0.0f);

  const auto scale = static_cast<float>(p.scale);
  for (std::int64_t i = task.first_query; i < task.last_query; i += static_cast<std::int64_t>(strip_rows)) {
    const Strip strip(p, task, i);
    const std::int64_t token = first_token + i;
    pack_rows(head_row(in.q, token, channel), row_stride(in.q), strip.rows, shape.head_dim, scale, queries,
              strip.tiled_rows);
    pack_rows(head_row(grad.dout, token, channel), row_stride(grad.dout), strip.rows, shape.head_dim, 1, dout,
              strip.tiled_rows);
    multiply<false>({queries.data, queries.stride, 1}, shape.head_dim, keys_t, scores, strip.tiled_rows, strip.columns);
    multiply<false>({dout.data, dout.stride, 1}, shape.head_dim, values_t, dscores, strip.tiled_rows, strip.columns);
    for (std::size_t r = 0; r < strip.rows; ++r) {
      const auto row = static_cast<std::int64_t>(r);
      const auto visible = static_cast<std::size_t>(p.visible_keys(task.sequence, i + row));
      const double mean = row_dot(dout.row(r), head_row(grad.out, token + row, channel), shape.head_dim);
      softmax_grad_row(scores.row(r), dscores.row(r), visible, strip.columns,
                       logsumexp[task.head * p.query_tokens() + token + row], static_cast<float>(mean));
    }
    const std::size_t key_rows = round_up(strip.keys, tile_rows);
    multiply<true>({scores.data, 1, scores.stride}, strip.rows, dout, dvalues, key_rows, shape.channels);
    multiply<true>({dscores.data, 1, dscores.stride}, strip.rows, queries, dkeys, key_rows, shape.channels);
    if (grad.dq.data == nullptr) continue;
    multiply<false>({dscores.data, dscores.stride, 1}, strip.keys, keys, dqueries, strip.tiled_rows, shape.channels);
    for (std::size_t r = 0; r < strip.rows; ++r) {
      put_row(dqueries.row(r), shape.head_dim, scale, head_row(grad.dq, token + static_cast<std::int64_t>(r), channel),
              grad.dq.accumulate);
    }
  }
  for (std::size_t j = 0; j < shape.keys; ++j) {
    const std::int64_t token = first_key + static_cast<std::int64_t>(j);
    if (grad.dk.data) put_row(dkeys.row(j), shape.head_dim, 1, head_row(grad.dk, token, channel), grad.dk.accumulate);
    if (grad.dv.data) put_row(dvalues.row(j), shape.head_dim, 1, head_row(grad.dv, token, channel), grad.dv.accumulate);
  }
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::kernels {

HWY_EXPORT(attention_forward_task);
HWY_EXPORT(attention_backward_task);

namespace {

constexpr std::int64_t whole_sequence = std::int64_t{1} << 40;

// Every head of every sequence, its queries in equal parts of a whole number of strips and at most `most_queries`: a
// single long sequence must occupy all threads, too. The parts depend on the lengths alone.
std::vector<AttentionTask> make_tasks(const AttentionProblem& p, std::int64_t most_queries) {
  constexpr auto strip = static_cast<std::int64_t>(strip_rows);
  std::vector<AttentionTask> tasks;
  for (std::int64_t b = 0; b < p.sequences; ++b) {
    const std::int64_t queries = p.queries(b), parts = std::max<std::int64_t>(1, chunk_count(queries, most_queries));
    const std::int64_t part = chunk_count(chunk_count(queries, parts), strip) * strip;
    for (std::int64_t h = 0; h < p.heads; ++h) {
      tasks.push_back({b, h, 0, std::min(part, queries)});
      for (std::int64_t i = part; i < queries; i += part) tasks.push_back({b, h, i, std::min(i + part, queries)});
    }
  }
  return tasks;
}

// Runs body(task) for all of them.
template <class F>
void for_each_task(const AttentionProblem& p, const std::vector<AttentionTask>& tasks, F&& body) {
  const auto count = static_cast<std::int64_t>(tasks.size());
  parallel_for(count, p.grain(count), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) body(tasks[static_cast<std::size_t>(t)]);
  });
}

}  // namespace

void attention_forward_f32(const AttentionProblem& problem, const HeadRows<float>& q, const HeadRows<float>& k,
                           const HeadRows<float>& v, const HeadOutput<float>& out, float* logsumexp) {
  const AttentionInputs inputs{q, k, v};
  const std::vector<AttentionTask> tasks = make_tasks(problem, 256);
  for_each_task(problem, tasks, [&](const AttentionTask& task) {
    HWY_DYNAMIC_DISPATCH(attention_forward_task)(problem, inputs, out, logsumexp, task);
  });
}

void attention_backward_f32(const AttentionProblem& problem, const HeadRows<float>& q, const HeadRows<float>& k,
                            const HeadRows<float>& v, const HeadRows<float>& out, const HeadRows<float>& dout,
                            const float* logsumexp, const HeadOutput<float>& dq, const HeadOutput<float>& dk,
                            const HeadOutput<float>& dv) {
  const AttentionInputs inputs{q, k, v};
  const AttentionGradients gradients{out, dout, dq, dk, dv};
  const std::vector<AttentionTask> tasks = make_tasks(problem, whole_sequence);
  for_each_task(problem, tasks, [&](const AttentionTask& task) {
    HWY_DYNAMIC_DISPATCH(attention_backward_task)
    (problem, inputs, gradients, logsumexp, task);
  });
}

}  // namespace fovea::kernels
#endif
