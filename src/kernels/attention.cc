#include "fovea/kernels/attention.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "fovea/core/parallel.h"
#include "fovea/core/profile.h"
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
  HeadRows<float> dout;
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
namespace {

constexpr std::size_t tile_vectors = HWY_TARGET <= HWY_AVX3 ? 4 : 2;

// A matrix in scratch memory; its rows are aligned to vectors and padded to a whole number of them.
class Block {
 public:
  Block(std::size_t rows, std::size_t row_stride)
      : stride(row_stride), storage_(rows * row_stride * sizeof(float)), data_(static_cast<float*>(storage_.data())) {}
  float* row(std::size_t r) const { return data_ + r * stride; }

  const std::size_t stride;

 private:
  Storage storage_;
  float* data_;
};

// Element (r, k) of the left factor of a product is data[r * row + k * step].
struct LeftFactor {
  const float* data;
  std::size_t row, step;

  static LeftFactor of(const Block& block) { return {block.row(0), block.stride, 1}; }
  static LeftFactor transposed(const Block& block) { return {block.row(0), 1, block.stride}; }
};

// c (6, vectors) = or += sum over k < depth of left(r, k) right(k, c).
template <std::size_t vectors, bool add>
HWY_INLINE void multiply_tile(const LeftFactor& left, std::size_t depth, const float* right, std::size_t right_stride,
                              float* c, std::size_t c_stride) {
  const F32 d;
  const std::size_t lanes = hn::Lanes(d);
  VF32 sums[tile_rows][vectors];
  for (std::size_t r = 0; r < tile_rows; ++r) {
    for (std::size_t v = 0; v < vectors; ++v)
      sums[r][v] = add ? hn::Load(d, c + r * c_stride + v * lanes) : hn::Zero(d);
  }
  for (std::size_t k = 0; k < depth; ++k) {
    VF32 row[vectors];
    for (std::size_t v = 0; v < vectors; ++v) row[v] = hn::Load(d, right + k * right_stride + v * lanes);
    for (std::size_t r = 0; r < tile_rows; ++r) {
      const VF32 factor = hn::Set(d, left.data[r * left.row + k * left.step]);
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
    multiply_tile<vectors, add>(tile, depth, right.row(0) + column, right.stride, c.row(r) + column, c.stride);
  }
}

// c (rows, columns) = or += left (rows, depth) right (depth, columns); rows are a multiple of the tile's, columns of
// the lanes.
template <bool add>
HWY_NOINLINE void multiply(const LeftFactor& left, std::size_t depth, const Block& right, const Block& c,
                           std::size_t rows, std::size_t columns) {
  const std::size_t lanes = hn::Lanes(F32());
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
  const F32 d;
  const VF32 scale = hn::Set(d, factor);
  for_lanes(static_cast<std::int64_t>(n),
            [&](std::int64_t i, auto lanes) { hn::Store(hn::Mul(lanes.load(from + i), scale), d, to + i); });
}

HWY_INLINE void pack_rows(const float* from, std::int64_t from_stride, std::size_t count, std::size_t n, float factor,
                          const Block& to) {
  for (std::size_t r = 0; r < count; ++r, from += from_stride) pack_row(from, n, factor, to.row(r));
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
HWY_INLINE void pack_transposed(const float* from, std::int64_t row_stride, std::size_t count, std::size_t n,
                                const Block& to) {
  constexpr std::size_t side = transposed_side;
  const auto from_stride = static_cast<std::size_t>(row_stride);
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
  const F32 d;
  const VF32 scale = hn::Set(d, factor);
  for_lanes(static_cast<std::int64_t>(n), [&](std::int64_t i, auto lanes) {
    store_or_add(lanes, hn::Mul(hn::Load(d, from + i), scale), to + i, accumulate);
  });
}

// The head of a task: where its rows are, and its extents as the vector code wants them.
struct Head {
  const AttentionProblem& p;
  const AttentionTask& task;
  std::size_t head_dim, keys;
  std::size_t channels;  // head_dim in whole vectors
  std::size_t columns;   // keys in whole tiles and vectors: keys are rows of their own gradients, too

  Head(const AttentionProblem& problem, const AttentionTask& head_task)
      : p(problem),
        task(head_task),
        head_dim(static_cast<std::size_t>(p.head_dim)),
        keys(static_cast<std::size_t>(p.keys(task.sequence))),
        channels(round_up(head_dim, hn::Lanes(F32()))),
        columns(padded(keys)) {}

  static std::size_t padded(std::size_t key_count) {
    return round_up(round_up(key_count, tile_rows), hn::Lanes(F32()));
  }
  std::int64_t token(std::size_t query) const { return p.q_offsets[task.sequence] + static_cast<std::int64_t>(query); }
  std::size_t visible_keys(std::size_t query) const {
    return static_cast<std::size_t>(p.visible_keys(task.sequence, static_cast<std::int64_t>(query)));
  }
  std::int64_t logsumexp_index(std::size_t query) const { return task.head * p.query_tokens() + token(query); }

  template <class Rows>
  auto query_row(const Rows& rows, std::size_t query) const {
    return rows.data + token(query) * rows.stride + task.head * p.head_dim;
  }
  template <class Rows>
  auto key_row(const Rows& rows, std::size_t key) const {
    const std::int64_t t = p.kv_offsets[task.sequence] + static_cast<std::int64_t>(key);
    return rows.data + t * rows.stride + task.head * p.head_dim;
  }

  void pack_queries(const HeadRows<float>& from, std::size_t first, std::size_t count, float factor,
                    const Block& to) const {
    pack_rows(query_row(from, first), from.stride, count, head_dim, factor, to);
    std::fill(to.row(count), to.row(round_up(count, tile_rows)), 0.0f);
  }
  void pack_keys(const HeadRows<float>& from, const Block& to) const {
    pack_rows(key_row(from, 0), from.stride, keys, head_dim, 1, to);
  }
  void pack_keys_transposed(const HeadRows<float>& from, const Block& to) const {
    pack_transposed(key_row(from, 0), from.stride, keys, head_dim, to);
  }
};

// Some consecutive queries, whose scores are in memory together.
struct Strip {
  std::size_t first, rows;
  std::size_t tiled_rows;  // in whole tiles
  std::size_t keys;        // that the last query, and so any, sees
  std::size_t columns;     // those in whole tiles and vectors

  Strip(const Head& head, std::size_t first_query)
      : first(first_query),
        rows(std::min(strip_rows, static_cast<std::size_t>(head.task.last_query) - first)),
        tiled_rows(round_up(rows, tile_rows)),
        keys(head.visible_keys(first + rows - 1)),
        columns(Head::padded(keys)) {}
};

// Scores of a strip become e^(score - the row's largest), zero where a key is not visible.
HWY_INLINE void exp_strip(const Head& head, const Strip& strip, const Block& scores, float* logsumexp,
                          float* inverse_sums) {
  for (std::size_t r = 0; r < strip.rows; ++r) {
    float* row = scores.row(r);
    const std::size_t visible = head.visible_keys(strip.first + r);
    float& saved = logsumexp[head.logsumexp_index(strip.first + r)];
    if (visible == 0) {
      std::fill(row, row + strip.columns, 0.0f);
      saved = inverse_sums[r] = 0;
      continue;
    }
    std::fill(row + visible, row + strip.columns, -__builtin_inff());
    const auto columns = static_cast<std::int64_t>(strip.columns);
    const float largest = row_max(row, columns);
    const auto sum = static_cast<float>(row_exp_sum<true>(row, columns, largest, row));
    saved = largest + std::log(sum);
    inverse_sums[r] = 1 / sum;
  }
}

void attention_forward_task(const AttentionProblem& p, const AttentionInputs& in, const HeadOutput<float>& out,
                            float* logsumexp, const AttentionTask& task) {
  const Head head(p, task);
  const Block keys(head.head_dim, head.columns), values(head.keys, head.channels);
  const Block queries(strip_rows, head.channels), result(strip_rows, head.channels), scores(strip_rows, head.columns);
  head.pack_keys_transposed(in.k, keys);
  head.pack_keys(in.v, values);
  const auto end = static_cast<std::size_t>(task.last_query);
  for (auto first = static_cast<std::size_t>(task.first_query); first < end; first += strip_rows) {
    const Strip strip(head, first);
    head.pack_queries(in.q, first, strip.rows, static_cast<float>(p.scale), queries);
    multiply<false>(LeftFactor::of(queries), head.head_dim, keys, scores, strip.tiled_rows, strip.columns);
    float inverse_sums[strip_rows];
    exp_strip(head, strip, scores, logsumexp, inverse_sums);
    multiply<false>(LeftFactor::of(scores), strip.keys, values, result, strip.tiled_rows, head.channels);
    for (std::size_t r = 0; r < strip.rows; ++r) {
      put_row(result.row(r), head.head_dim, inverse_sums[r], head.query_row(out, first + r), out.accumulate);
    }
  }
}

// Scores become probabilities p, zero where a key is not visible, and gradients of probabilities those of scores:
// p (dp - <p, dp>). The row's own sums are used rather than what forward kept, so that its gradients add up to zero as
// exactly as f32 allows: key biases, which shift all scores of a row alike, owe their vanishing gradient to that.
HWY_INLINE void softmax_grad_strip(const Head& head, const Strip& strip, const float* logsumexp, const Block& scores,
                                   const Block& dscores) {
  const F32 d;
  for (std::size_t r = 0; r < strip.rows; ++r) {
    const std::size_t query = strip.first + r;
    float *row = scores.row(r), *gradient = dscores.row(r);
    std::fill(row + head.visible_keys(query), row + strip.columns, -__builtin_inff());
    const double sum = row_exp_sum<true>(row, strip.columns, logsumexp[head.logsumexp_index(query)], row);
    const double scale = sum > 0 ? 1 / sum : 0;  // 0: the query sees no key
    const VF32 normalise = hn::Set(d, static_cast<float>(scale));
    const VF32 mean = hn::Set(d, static_cast<float>(row_dot(row, gradient, strip.columns) * scale));
    for (std::size_t i = 0; i < strip.columns; i += hn::Lanes(d)) {
      const VF32 p = hn::Mul(hn::Load(d, row + i), normalise);
      hn::Store(p, d, row + i);
      hn::Store(hn::Mul(p, hn::Sub(hn::Load(d, gradient + i), mean)), d, gradient + i);
    }
  }
}

HWY_INLINE void put_keys(const Head& head, const Block& from, const HeadOutput<float>& to) {
  if (to.data == nullptr) return;
  for (std::size_t j = 0; j < head.keys; ++j)
    put_row(from.row(j), head.head_dim, 1, head.key_row(to, j), to.accumulate);
}

void attention_backward_task(const AttentionProblem& p, const AttentionInputs& in, const AttentionGradients& grad,
                             const float* logsumexp, const AttentionTask& task) {
  const Head head(p, task);
  const auto scale = static_cast<float>(p.scale);
  const std::size_t tiled_keys = round_up(head.keys, tile_rows);
  const Block keys(head.keys, head.channels), keys_t(head.head_dim, head.columns),
      values_t(head.head_dim, head.columns);
  const Block dkeys(tiled_keys, head.channels), dvalues(tiled_keys, head.channels);
  const Block queries(strip_rows, head.channels), dqueries(strip_rows, head.channels), dout(strip_rows, head.channels);
  const Block scores(strip_rows, head.columns), dscores(strip_rows, head.columns);
  head.pack_keys(in.k, keys);
  head.pack_keys_transposed(in.k, keys_t);
  head.pack_keys_transposed(in.v, values_t);
  std::fill(dkeys.row(0), dkeys.row(tiled_keys), 0.0f);
  std::fill(dvalues.row(0), dvalues.row(tiled_keys), 0.0f);
  const auto end = static_cast<std::size_t>(task.last_query);
  for (auto first = static_cast<std::size_t>(task.first_query); first < end; first += strip_rows) {
    const Strip strip(head, first);
    head.pack_queries(in.q, first, strip.rows, scale, queries);
    head.pack_queries(grad.dout, first, strip.rows, 1, dout);
    multiply<false>(LeftFactor::of(queries), head.head_dim, keys_t, scores, strip.tiled_rows, strip.columns);
    multiply<false>(LeftFactor::of(dout), head.head_dim, values_t, dscores, strip.tiled_rows, strip.columns);
    softmax_grad_strip(head, strip, logsumexp, scores, dscores);
    const std::size_t key_rows = round_up(strip.keys, tile_rows);
    multiply<true>(LeftFactor::transposed(scores), strip.rows, dout, dvalues, key_rows, head.channels);
    multiply<true>(LeftFactor::transposed(dscores), strip.rows, queries, dkeys, key_rows, head.channels);
    if (grad.dq.data == nullptr) continue;
    multiply<false>(LeftFactor::of(dscores), strip.keys, keys, dqueries, strip.tiled_rows, head.channels);
    for (std::size_t r = 0; r < strip.rows; ++r) {
      put_row(dqueries.row(r), head.head_dim, scale, head.query_row(grad.dq, first + r), grad.dq.accumulate);
    }
  }
  put_keys(head, dkeys, grad.dk);
  put_keys(head, dvalues, grad.dv);
}

}  // namespace
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

// Operations of one of the products between what queries see, of all heads: two products forward, five backward.
void count_products(const AttentionProblem& p, int products) {
  if (!profile::on()) return;
  std::int64_t seen = 0;
  for (std::int64_t b = 0; b < p.sequences; ++b) {
    for (std::int64_t i = 0; i < p.queries(b); ++i) seen += p.visible_keys(b, i);
  }
  profile::count(2.0 * products * static_cast<double>(seen) * static_cast<double>(p.heads * p.head_dim));
}

}  // namespace

void attention_forward_f32(const AttentionProblem& problem, const HeadRows<float>& q, const HeadRows<float>& k,
                           const HeadRows<float>& v, const HeadOutput<float>& out, float* logsumexp) {
  count_products(problem, 2);
  const AttentionInputs inputs{q, k, v};
  const std::vector<AttentionTask> tasks = make_tasks(problem, 256);
  for_each_task(problem, tasks, [&](const AttentionTask& task) {
    HWY_DYNAMIC_DISPATCH(attention_forward_task)(problem, inputs, out, logsumexp, task);
  });
}

void attention_backward_f32(const AttentionProblem& problem, const HeadRows<float>& q, const HeadRows<float>& k,
                            const HeadRows<float>& v, const HeadRows<float>& dout, const float* logsumexp,
                            const HeadOutput<float>& dq, const HeadOutput<float>& dk, const HeadOutput<float>& dv) {
  count_products(problem, 5);
  const AttentionInputs inputs{q, k, v};
  const AttentionGradients gradients{dout, dq, dk, dv};
  const std::vector<AttentionTask> tasks = make_tasks(problem, whole_sequence);
  for_each_task(problem, tasks, [&](const AttentionTask& task) {
    HWY_DYNAMIC_DISPATCH(attention_backward_task)
    (problem, inputs, gradients, logsumexp, task);
  });
}

}  // namespace fovea::kernels
#endif
