#include "fovea/kernels/attention.h"

#include <algorithm>
#include <vector>

#include "fovea/core/parallel.h"
#include "fovea/core/profile.h"
#include "kernels/scratch.h"

#ifndef FOVEA_KERNELS_ATTENTION_ONCE_
#define FOVEA_KERNELS_ATTENTION_ONCE_
namespace fovea::kernels {
namespace {

// Some queries of one sequence, of all heads that share a key head.
struct AttentionTask {
  std::int64_t sequence, kv_head, first_query, last_query;
};

struct ForwardCall {
  const AttentionProblem& problem;
  const AttentionInputs<float>& in;
  const HeadOutput<float>& out;
  float* logsumexp;
};

struct BackwardCall {
  const AttentionProblem& problem;
  const AttentionInputs<float>& in;
  const HeadRows<float>& dout;
  const float* logsumexp;
  const AttentionGradients<float>& gradients;
};

// Register tile: 6 rows times 2 vectors of sums fill the 16 registers of AVX2 and SSE; 32 registers hold 4 vectors.
constexpr std::size_t tile_rows = 6;
// Queries whose scores are in memory at a time: many, because each strip goes over all gradients of keys and values.
constexpr std::size_t strip_rows = 16 * tile_rows;
// Scores in memory at a time, except that a strip has some rows in any case: a second-level cache holds two such.
constexpr std::size_t strip_scores = 1 << 15;

constexpr std::size_t round_up(std::size_t n, std::size_t multiple) { return (n + multiple - 1) / multiple * multiple; }

// Rows of the strips that so many queries are cut into.
inline std::size_t rows_of_strips(std::size_t queries, std::size_t keys) {
  const std::size_t most =
      std::clamp(strip_scores / std::max<std::size_t>(keys, 1) / tile_rows * tile_rows, 4 * tile_rows, strip_rows);
  const std::size_t strips = std::max<std::size_t>(1, round_up(queries, most) / most);
  return round_up((queries + strips - 1) / strips, tile_rows);
}

}  // namespace
}  // namespace fovea::kernels
#endif

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "hwy/highway.h"
#include "kernels/math-inl.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {
namespace {

constexpr std::size_t tile_vectors = HWY_TARGET <= HWY_AVX3 ? 4 : 2;

HWY_INLINE std::size_t lanes_of_vector() { return hn::Lanes(F32()); }
HWY_INLINE std::size_t vectors_for(std::size_t n) { return round_up(n, lanes_of_vector()); }

// A matrix in scratch memory. Its rows are an odd number of cache lines apart, so that those of one column lie in
// different sets of the cache.
class Block {
 public:
  Block(std::size_t rows, std::size_t columns)
      : stride((columns + line - 1) / line / 2 * 2 * line + line),
        memory_(static_cast<std::int64_t>(std::max<std::size_t>(rows, 1) * stride)) {}
  float* row(std::size_t r) const { return memory_.data() + r * stride; }

 private:
  static constexpr std::size_t line = allocator::alignment / sizeof(float);

 public:
  const std::size_t stride;

 private:
  Scratch<float> memory_;
};

// Fetches rows into the cache that are read or written later, some with every step of something else.
class Ahead {
 public:
  explicit Ahead(std::int64_t head_dim) : lines_((head_dim * 4 + 63) / 64) {}

  void clear() {
    count_ = next_ = 0;
    row_ = total_ = 0;
  }
  void add(const float* data, std::int64_t stride, std::int64_t rows) {
    if (rows == 0) return;
    parts_[count_++] = {reinterpret_cast<const char*>(data), stride * 4, rows};
    total_ += rows;
  }
  void spread(std::size_t steps) {
    per_step_ = total_ / static_cast<std::int64_t>(std::max<std::size_t>(steps, 1)) + 1;
  }
  HWY_INLINE void step() {
    for (std::int64_t i = 0; i < per_step_ && next_ < count_; ++i) {
      const Part& part = parts_[next_];
      const char* row = part.data + row_ * part.stride;
      for (std::int64_t j = 0; j < lines_; ++j) __builtin_prefetch(row + j * 64, 0, 3);
      if (++row_ == part.rows) ++next_, row_ = 0;
    }
  }

 private:
  struct Part {
    const char* data;
    std::int64_t stride, rows;
  };
  Part parts_[7];
  std::int64_t lines_, per_step_ = 0, row_ = 0, total_ = 0;
  int count_ = 0, next_ = 0;
};

// c (6, vectors) = or += sum over k < depth of left(r, k) right(k, c), where left(r, k) is left[r * left_stride + k],
// or left[k * left_stride + r] when transposed.
template <std::size_t vectors, bool transposed, bool add>
HWY_INLINE void multiply_tile(const float* HWY_RESTRICT left, std::size_t left_stride, std::size_t depth,
                              const float* HWY_RESTRICT right, std::size_t right_stride, float* HWY_RESTRICT c,
                              std::size_t c_stride) {
  const F32 d;
  const std::size_t lanes = lanes_of_vector();
  VF32 sums[tile_rows][vectors];
#pragma GCC unroll 6
  for (std::size_t r = 0; r < tile_rows; ++r) {
#pragma GCC unroll 4
    for (std::size_t v = 0; v < vectors; ++v)
      sums[r][v] = add ? hn::Load(d, c + r * c_stride + v * lanes) : hn::Zero(d);
  }
  for (std::size_t k = 0; k < depth; ++k) {
    VF32 row[vectors];
#pragma GCC unroll 4
    for (std::size_t v = 0; v < vectors; ++v) row[v] = hn::Load(d, right + v * lanes);
#pragma GCC unroll 6
    for (std::size_t r = 0; r < tile_rows; ++r) {
      const VF32 factor = hn::Set(d, transposed ? left[r] : left[r * left_stride]);
#pragma GCC unroll 4
      for (std::size_t v = 0; v < vectors; ++v) sums[r][v] = hn::MulAdd(factor, row[v], sums[r][v]);
    }
    left += transposed ? left_stride : 1;
    right += right_stride;
  }
#pragma GCC unroll 6
  for (std::size_t r = 0; r < tile_rows; ++r) {
#pragma GCC unroll 4
    for (std::size_t v = 0; v < vectors; ++v) hn::Store(sums[r][v], d, c + r * c_stride + v * lanes);
  }
}

// The same for `columns`, whole vectors of one tile at most.
template <bool transposed, bool add>
HWY_NOINLINE void multiply_tile_of(std::size_t columns, const float* left, std::size_t left_stride, std::size_t depth,
                                   const float* right, std::size_t right_stride, float* c, std::size_t c_stride) {
  switch (columns / lanes_of_vector()) {
    case 1: return multiply_tile<1, transposed, add>(left, left_stride, depth, right, right_stride, c, c_stride);
    case 2: return multiply_tile<2, transposed, add>(left, left_stride, depth, right, right_stride, c, c_stride);
    case 3:
      if constexpr (tile_vectors > 2)
        return multiply_tile<3, transposed, add>(left, left_stride, depth, right, right_stride, c, c_stride);
      break;
    default:
      if constexpr (tile_vectors > 2)
        return multiply_tile<4, transposed, add>(left, left_stride, depth, right, right_stride, c, c_stride);
  }
}

// Calls f(begin, end) for columns [begin, end) in as few equal parts as tiles are needed; all are whole vectors.
template <class F>
HWY_INLINE void for_panels(std::size_t begin, std::size_t end, F&& f) {
  const std::size_t lanes = lanes_of_vector(), vectors = (end - begin) / lanes;
  const std::size_t panels = (vectors + tile_vectors - 1) / tile_vectors;
  for (std::size_t i = 0; i < panels; ++i) {
    f(begin + vectors * i / panels * lanes, begin + vectors * (i + 1) / panels * lanes);
  }
}

// to (n, zeros up to a whole vector) = factor * from.
HWY_INLINE void pack_rows(const float* from, std::int64_t from_stride, std::size_t count, std::size_t n, float factor,
                          const Block& to) {
  const F32 d;
  const VF32 scale = hn::Set(d, factor);
  for (std::size_t r = 0; r < count; ++r, from += from_stride) {
    float* row = to.row(r);
    for_lanes(static_cast<std::int64_t>(n),
              [&](std::int64_t i, auto lanes) { hn::Store(hn::Mul(lanes.load(from + i), scale), d, row + i); });
  }
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

// to (n, count) = from (count, n) transposed, with zeros up to whole vectors.
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
    std::fill(to.row(c) + count, to.row(c) + vectors_for(count), 0.0f);
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

// The rows of a task's key head in the matrices, and its extents as the vector code wants them.
struct Head {
  const AttentionProblem& p;
  const AttentionTask& task;
  std::size_t head_dim, keys;
  std::size_t channels;  // head_dim in whole vectors

  Head(const AttentionProblem& problem, const AttentionTask& head_task)
      : p(problem),
        task(head_task),
        head_dim(static_cast<std::size_t>(p.head_dim)),
        keys(static_cast<std::size_t>(p.keys(task.sequence))),
        channels(vectors_for(head_dim)) {}

  std::int64_t token(std::size_t query) const { return p.q_offsets[task.sequence] + static_cast<std::int64_t>(query); }

  template <class Rows>
  auto query_row(const Rows& rows, std::int64_t head, std::size_t query) const {
    return rows.data + token(query) * rows.stride + head * p.head_dim;
  }
  template <class Rows>
  auto key_row(const Rows& rows, std::size_t key) const {
    const std::int64_t t = p.kv_offsets[task.sequence] + static_cast<std::int64_t>(key);
    return rows.data + t * rows.stride + task.kv_head * p.head_dim;
  }

  void pack_keys(const HeadRows<float>& from, const Block& to) const {
    pack_rows(key_row(from, 0), from.stride, keys, head_dim, 1, to);
  }
  void pack_keys_transposed(const HeadRows<float>& from, const Block& to) const {
    pack_transposed(key_row(from, 0), from.stride, keys, head_dim, to);
  }
  // Calls f(query head, first, last) for every strip of the task.
  template <class F>
  void for_strips(F&& f) const {
    const auto begin = static_cast<std::size_t>(task.first_query), end = static_cast<std::size_t>(task.last_query);
    const std::size_t rows = rows_of_strips(end - begin, keys);
    for (std::int64_t h = task.kv_head * p.group(); h < (task.kv_head + 1) * p.group(); ++h) {
      for (std::size_t first = begin; first < end; first += rows) f(h, first, std::min(first + rows, end));
    }
  }
  template <class Rows>
  void fetch_rows_of_keys(const Rows& rows, Ahead& ahead) const {
    if (rows.data == nullptr) return;
    ahead.add(key_row(rows, 0), rows.stride, static_cast<std::int64_t>(keys));
  }
  template <class Rows>
  void fetch_rows_of_queries(const Rows& rows, Ahead& ahead) const {
    if (rows.data == nullptr) return;
    ahead.add(query_row(rows, task.kv_head * p.group(), static_cast<std::size_t>(task.first_query)), rows.stride,
              task.last_query - task.first_query);
  }
};

// Keys [begin, end).
struct Keys {
  std::size_t begin = 0, end = 0;

  bool empty() const { return begin == end; }
  void extend(const Keys& other) {
    if (other.empty()) return;
    *this = empty() ? other : Keys{std::min(begin, other.begin), std::max(end, other.end)};
  }
  Keys columns() const { return {begin / lanes_of_vector() * lanes_of_vector(), vectors_for(end)}; }
};

// Some consecutive queries, whose scores are in memory together. Scores of a tile of rows are computed where some row
// of it sees a key.
struct Strip {
  const Head& head;
  std::int64_t query_head;
  std::size_t first, rows, tiles;
  Keys all;  // keys that some row sees
  Keys of_row[strip_rows], of_tile[strip_rows / tile_rows];

  Strip(const Head& of_head, std::int64_t query_head_number, std::size_t first_query, std::size_t last_query)
      : head(of_head),
        query_head(query_head_number),
        first(first_query),
        rows(last_query - first_query),
        tiles(round_up(rows, tile_rows) / tile_rows) {
    for (std::size_t r = 0; r < rows; ++r) {
      const KeyRange seen = head.p.visible_keys(head.task.sequence, static_cast<std::int64_t>(first + r));
      of_row[r] = {static_cast<std::size_t>(seen.begin), static_cast<std::size_t>(seen.end)};
      of_tile[r / tile_rows].extend(of_row[r]);
    }
    for (std::size_t t = 0; t < tiles; ++t) all.extend(of_tile[t]);
  }

  // Where a block of scores has values: the keys in whole vectors and, as rows of their gradients, in whole tiles.
  Keys columns() const { return Keys{all.begin, all.begin + round_up(all.end - all.begin, tile_rows)}.columns(); }

  void pack_queries(const HeadRows<float>& from, float factor, const Block& to) const {
    pack_rows(head.query_row(from, query_head, first), from.stride, rows, head.head_dim, factor, to);
    std::fill(to.row(rows), to.row(tiles * tile_rows), 0.0f);
  }
  std::int64_t logsumexp_index() const { return query_head * head.p.query_tokens() + head.token(first); }
};

// scores = queries (rows, head_dim) keys_t (head_dim, keys).
void multiply_scores(const Strip& strip, const Block& queries, const Block& keys_t, const Block& scores, Ahead& ahead) {
  const Keys columns = strip.all.columns();
  for_panels(columns.begin, columns.end, [&](std::size_t panel, std::size_t panel_end) {
    for (std::size_t t = 0; t < strip.tiles; ++t) {
      const Keys seen = strip.of_tile[t].columns();
      const std::size_t begin = std::max(panel, seen.begin), end = std::min(panel_end, seen.end);
      if (begin >= end) continue;
      const std::size_t r = t * tile_rows;
      multiply_tile_of<false, false>(end - begin, queries.row(r), queries.stride, strip.head.head_dim,
                                     keys_t.row(0) + begin, keys_t.stride, scores.row(r) + begin, scores.stride);
      ahead.step();
    }
  });
}

// result (rows, channels) = scores (rows, keys) right (keys, channels).
void multiply_queries(const Strip& strip, const Block& scores, const Block& right, const Block& result, Ahead& ahead) {
  for_panels(0, strip.head.channels, [&](std::size_t panel, std::size_t panel_end) {
    for (std::size_t t = 0; t < strip.tiles; ++t) {
      const Keys seen = strip.of_tile[t];
      const std::size_t r = t * tile_rows;
      multiply_tile_of<false, false>(panel_end - panel, scores.row(r) + seen.begin, scores.stride,
                                     seen.end - seen.begin, right.row(seen.begin) + panel, right.stride,
                                     result.row(r) + panel, result.stride);
      ahead.step();
    }
  });
}

// result (keys, channels) += scores (rows, keys) transposed right (rows, channels).
void multiply_keys(const Strip& strip, const Block& scores, const Block& right, const Block& result, Ahead& ahead) {
  for (std::size_t j = strip.all.begin; j < strip.all.end; j += tile_rows) {
    // Rows from the first tile to the last that sees one of these keys.
    const auto sees = [&](std::size_t t) { return strip.of_tile[t].begin < j + tile_rows && strip.of_tile[t].end > j; };
    std::size_t tile = 0, tile_end = strip.tiles;
    while (tile < tile_end && !sees(tile)) ++tile;
    while (tile < tile_end && !sees(tile_end - 1)) --tile_end;
    if (tile == tile_end) continue;
    const std::size_t r = tile * tile_rows, depth = std::min(tile_end * tile_rows, strip.rows) - r;
    for_panels(0, strip.head.channels, [&](std::size_t panel, std::size_t panel_end) {
      multiply_tile_of<true, true>(panel_end - panel, scores.row(r) + j, scores.stride, depth, right.row(r) + panel,
                                   right.stride, result.row(j) + panel, result.stride);
      ahead.step();
    });
  }
}

// Calls f(column, sum) for the vectors in [begin, end) and returns the sums of both, in f64 from block to block of a
// long row.
struct RowSums {
  double first, second;
};
template <class F>
HWY_INLINE RowSums sum_row(Keys columns, F&& f) {
  constexpr std::size_t block = 2048;
  const F32 d;
  const std::size_t lanes = lanes_of_vector();
  RowSums total{0, 0};
  for (std::size_t begin = columns.begin; begin < columns.end; begin += block) {
    const std::size_t end = std::min(begin + block, columns.end);
    VF32 a0 = hn::Zero(d), a1 = a0, b0 = a0, b1 = a0;
    std::size_t j = begin;
    for (; j + 2 * lanes <= end; j += 2 * lanes) {
      f(j, a0, b0);
      f(j + lanes, a1, b1);
    }
    if (j < end) f(j, a0, b0);
    total.first += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, hn::Add(a0, a1))));
    total.second += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, hn::Add(b0, b1))));
  }
  return total;
}

HWY_INLINE float largest_of(const float* row, Keys columns) {
  const F32 d;
  const std::size_t lanes = lanes_of_vector();
  VF32 a = hn::Set(d, -__builtin_inff()), b = a;
  std::size_t j = columns.begin;
  for (; j + 2 * lanes <= columns.end; j += 2 * lanes) {
    a = hn::Max(a, hn::Load(d, row + j));
    b = hn::Max(b, hn::Load(d, row + j + lanes));
  }
  if (j < columns.end) a = hn::Max(a, hn::Load(d, row + j));
  return hn::GetLane(hn::MaxOfLanes(d, hn::Max(a, b)));
}

// The keys of row r that have a bias, and the bias of its first key: columns of `bias` are keys.
struct BiasRow {
  std::int64_t offset = 0;
  std::size_t begin = 0, end = 0;

  BiasRow(const AttentionBias<float>& bias, const Strip& strip, std::size_t r) {
    const auto query = static_cast<std::int64_t>(strip.first + r);
    if (bias.data == nullptr || query >= bias.queries) return;
    offset = (strip.query_head * bias.queries + query) * bias.keys;
    begin = strip.of_row[r].begin;
    end = std::max(begin, std::min(strip.of_row[r].end, static_cast<std::size_t>(bias.keys)));
  }
};

// to += from for the keys of a row that have a bias.
HWY_INLINE void add_bias(const BiasRow& bias, const float* from, float* to) {
  transform(
      static_cast<std::int64_t>(bias.end - bias.begin), to + bias.begin, true, [](VF32 x) { return x; },
      from + bias.begin);
}

// Scores of row r as they enter the softmax: with their bias, and such that keys that are not seen have no weight.
HWY_INLINE void finish_scores(const Strip& strip, std::size_t r, const AttentionBias<float>& bias, float* row) {
  const Keys seen = strip.of_row[r], columns = strip.of_tile[r / tile_rows].columns();
  if (bias.data != nullptr) {
    const BiasRow of_row(bias, strip, r);
    add_bias(of_row, bias.data + of_row.offset, row);
  }
  std::fill(row + columns.begin, row + seen.begin, -__builtin_inff());
  std::fill(row + seen.end, row + columns.end, -__builtin_inff());
}

// Scores of a strip become e^(score - the row's largest), zero where a key is not seen.
void exp_strip(const Strip& strip, const AttentionBias<float>& bias, const Block& scores, float* logsumexp,
               float* inverse_sums) {
  const F32 d;
  float sums[strip_rows];
  for (std::size_t r = 0; r < strip.rows; ++r) {
    float* row = scores.row(r);
    const Keys columns = strip.of_tile[r / tile_rows].columns();
    if (strip.of_row[r].empty()) {
      std::fill(row + columns.begin, row + columns.end, 0.0f);
      logsumexp[r] = 0;
      sums[r] = 1;
      continue;
    }
    finish_scores(strip, r, bias, row);
    logsumexp[r] = largest_of(row, columns);
    const VF32 shift = hn::Set(d, logsumexp[r]);
    sums[r] = static_cast<float>(sum_row(columns, [&](std::size_t j, VF32& total, VF32&) HWY_ATTR {
                                   const VF32 e = exp_softmax(d, hn::Sub(hn::Load(d, row + j), shift));
                                   hn::Store(e, d, row + j);
                                   total = hn::Add(total, e);
                                 }).first);
  }
  const auto rows = static_cast<std::int64_t>(strip.rows);
  transform(
      rows, logsumexp, true, [&](VF32 sum) HWY_ATTR { return log(d, sum); }, sums);
  transform(
      rows, inverse_sums, false, [&](VF32 sum) HWY_ATTR { return hn::Div(hn::Set(d, 1.0f), sum); }, sums);
}

// Scores become probabilities p, zero where a key is not seen, and gradients of probabilities those of scores:
// p (dp - <p, dp>). The row's own sums are used rather than what forward kept, so that its gradients add up to zero as
// exactly as f32 allows: key biases, which shift all scores of a row alike, owe their vanishing gradient to that.
void softmax_grad_strip(const Strip& strip, const AttentionBias<float>& bias, const float* logsumexp,
                        const Block& scores, const Block& dscores) {
  const F32 d;
  const Keys written = strip.columns();
  for (std::size_t r = 0; r < strip.rows; ++r) {
    float *row = scores.row(r), *gradient = dscores.row(r);
    const Keys columns =
        strip.of_row[r].empty() ? Keys{written.begin, written.begin} : strip.of_tile[r / tile_rows].columns();
    for (float* part : {row, gradient}) {
      std::fill(part + written.begin, part + columns.begin, 0.0f);
      std::fill(part + columns.end, part + written.end, 0.0f);
    }
    if (columns.empty()) continue;
    finish_scores(strip, r, bias, row);
    const VF32 shift = hn::Set(d, logsumexp[r]);
    const RowSums sums = sum_row(columns, [&](std::size_t j, VF32& total, VF32& dot) HWY_ATTR {
      const VF32 e = exp_softmax(d, hn::Sub(hn::Load(d, row + j), shift));
      hn::Store(e, d, row + j);
      total = hn::Add(total, e);
      dot = hn::MulAdd(e, hn::Load(d, gradient + j), dot);
    });
    const double inverse = 1 / sums.first;
    const VF32 normalise = hn::Set(d, static_cast<float>(inverse));
    const VF32 mean = hn::Set(d, static_cast<float>(sums.second * inverse));
    for (std::size_t j = columns.begin; j < columns.end; j += lanes_of_vector()) {
      const VF32 p = hn::Mul(hn::Load(d, row + j), normalise);
      hn::Store(p, d, row + j);
      hn::Store(hn::Mul(p, hn::Sub(hn::Load(d, gradient + j), mean)), d, gradient + j);
    }
  }
}

// Largest extents of some tasks.
struct Extents {
  std::size_t head_dim, rows = 0, keys = 0;

  Extents(const AttentionProblem& p, const AttentionTask* tasks, std::size_t count)
      : head_dim(static_cast<std::size_t>(p.head_dim)) {
    for (std::size_t i = 0; i < count; ++i) {
      const auto of_task = static_cast<std::size_t>(p.keys(tasks[i].sequence));
      const auto queries = static_cast<std::size_t>(tasks[i].last_query - tasks[i].first_query);
      keys = std::max(keys, of_task);
      rows = std::max(rows, rows_of_strips(queries, of_task));
    }
  }
  std::size_t channels() const { return vectors_for(head_dim); }
  std::size_t tiled_keys() const { return keys + tile_rows - 1; }
  std::size_t columns() const { return vectors_for(tiled_keys()); }
};

struct ForwardScratch {
  Block keys_t, values, queries, result, scores;

  explicit ForwardScratch(const Extents& e)
      : keys_t(e.head_dim, e.columns()),
        values(e.keys, e.channels()),
        queries(e.rows, e.channels()),
        result(e.rows, e.channels()),
        scores(e.rows, e.columns()) {}
};

// How many tiles a task multiplies, about.
std::size_t steps_of(const Head& head, std::size_t products) {
  const auto queries = static_cast<std::size_t>(head.task.last_query - head.task.first_query);
  const std::size_t tile = tile_vectors * lanes_of_vector();
  return products * (queries / tile_rows + 1) * (round_up(head.keys, tile) + round_up(head.channels, tile)) / tile / 2;
}

void forward_task(const ForwardCall& call, const AttentionTask& task, const ForwardScratch& scratch, Ahead& ahead) {
  const Head head(call.problem, task);
  ahead.spread(steps_of(head, 2));
  head.pack_keys_transposed(call.in.k, scratch.keys_t);
  head.pack_keys(call.in.v, scratch.values);
  head.for_strips([&](std::int64_t h, std::size_t first, std::size_t last) {
    const Strip strip(head, h, first, last);
    strip.pack_queries(call.in.q, static_cast<float>(call.problem.scale), scratch.queries);
    multiply_scores(strip, scratch.queries, scratch.keys_t, scratch.scores, ahead);
    float inverse_sums[strip_rows];
    exp_strip(strip, call.in.bias, scratch.scores, call.logsumexp + strip.logsumexp_index(), inverse_sums);
    multiply_queries(strip, scratch.scores, scratch.values, scratch.result, ahead);
    for (std::size_t r = 0; r < strip.rows; ++r) {
      put_row(scratch.result.row(r), head.head_dim, inverse_sums[r], head.query_row(call.out, h, first + r),
              call.out.accumulate);
    }
  });
}

void forward_tasks(const ForwardCall& call, const AttentionTask* tasks, std::size_t count) {
  const ForwardScratch scratch(Extents(call.problem, tasks, count));
  Ahead ahead(call.problem.head_dim);
  for (std::size_t i = 0; i < count; ++i) {
    ahead.clear();
    Head(call.problem, tasks[i]).fetch_rows_of_queries(call.out, ahead);
    if (i + 1 < count) {
      const Head next(call.problem, tasks[i + 1]);
      next.fetch_rows_of_keys(call.in.k, ahead);
      next.fetch_rows_of_keys(call.in.v, ahead);
      next.fetch_rows_of_queries(call.in.q, ahead);
    }
    forward_task(call, tasks[i], scratch, ahead);
  }
}

struct BackwardScratch {
  Block keys, keys_t, values_t, dkeys, dvalues, queries, dqueries, dout, scores, dscores;

  explicit BackwardScratch(const Extents& e)
      : keys(e.keys, e.channels()),
        keys_t(e.head_dim, e.columns()),
        values_t(e.head_dim, e.columns()),
        dkeys(e.tiled_keys(), e.channels()),
        dvalues(e.tiled_keys(), e.channels()),
        queries(e.rows, e.channels()),
        dqueries(e.rows, e.channels()),
        dout(e.rows, e.channels()),
        scores(e.rows, e.columns()),
        dscores(e.rows, e.columns()) {}
};

void put_keys(const Head& head, const Block& from, const HeadOutput<float>& to) {
  if (to.data == nullptr) return;
  for (std::size_t j = 0; j < head.keys; ++j)
    put_row(from.row(j), head.head_dim, 1, head.key_row(to, j), to.accumulate);
}

void add_bias_gradient(const Strip& strip, const BackwardCall& call, const Block& dscores) {
  for (std::size_t r = 0; r < strip.rows; ++r) {
    const BiasRow bias(call.in.bias, strip, r);
    add_bias(bias, dscores.row(r), call.gradients.bias + bias.offset);
  }
}

void backward_strip(const BackwardCall& call, const Strip& strip, const BackwardScratch& scratch, Ahead& ahead) {
  const Head& head = strip.head;
  const AttentionGradients<float>& gradients = call.gradients;
  const auto scale = static_cast<float>(call.problem.scale);
  strip.pack_queries(call.in.q, scale, scratch.queries);
  strip.pack_queries(call.dout, 1, scratch.dout);
  multiply_scores(strip, scratch.queries, scratch.keys_t, scratch.scores, ahead);
  multiply_scores(strip, scratch.dout, scratch.values_t, scratch.dscores, ahead);
  softmax_grad_strip(strip, call.in.bias, call.logsumexp + strip.logsumexp_index(), scratch.scores, scratch.dscores);
  if (gradients.bias != nullptr) add_bias_gradient(strip, call, scratch.dscores);
  if (gradients.v.data != nullptr) multiply_keys(strip, scratch.scores, scratch.dout, scratch.dvalues, ahead);
  if (gradients.k.data != nullptr) multiply_keys(strip, scratch.dscores, scratch.queries, scratch.dkeys, ahead);
  if (gradients.q.data == nullptr) return;
  multiply_queries(strip, scratch.dscores, scratch.keys, scratch.dqueries, ahead);
  for (std::size_t r = 0; r < strip.rows; ++r) {
    put_row(scratch.dqueries.row(r), head.head_dim, scale,
            head.query_row(gradients.q, strip.query_head, strip.first + r), gradients.q.accumulate);
  }
}

void backward_task(const BackwardCall& call, const AttentionTask& task, const BackwardScratch& scratch, Ahead& ahead) {
  const Head head(call.problem, task);
  ahead.spread(steps_of(head, 5));
  head.pack_keys(call.in.k, scratch.keys);
  head.pack_keys_transposed(call.in.k, scratch.keys_t);
  head.pack_keys_transposed(call.in.v, scratch.values_t);
  for (const Block* sums : {&scratch.dkeys, &scratch.dvalues})
    std::fill(sums->row(0), sums->row(head.keys + tile_rows - 1), 0.0f);
  head.for_strips([&](std::int64_t h, std::size_t first, std::size_t last) {
    backward_strip(call, Strip(head, h, first, last), scratch, ahead);
  });
  put_keys(head, scratch.dkeys, call.gradients.k);
  put_keys(head, scratch.dvalues, call.gradients.v);
}

void backward_tasks(const BackwardCall& call, const AttentionTask* tasks, std::size_t count) {
  const BackwardScratch scratch(Extents(call.problem, tasks, count));
  Ahead ahead(call.problem.head_dim);
  for (std::size_t i = 0; i < count; ++i) {
    ahead.clear();
    const Head present(call.problem, tasks[i]);
    present.fetch_rows_of_keys(call.gradients.k, ahead);
    present.fetch_rows_of_keys(call.gradients.v, ahead);
    present.fetch_rows_of_queries(call.gradients.q, ahead);
    if (i + 1 < count) {
      const Head next(call.problem, tasks[i + 1]);
      next.fetch_rows_of_keys(call.in.k, ahead);
      next.fetch_rows_of_keys(call.in.v, ahead);
      next.fetch_rows_of_queries(call.in.q, ahead);
      next.fetch_rows_of_queries(call.dout, ahead);
    }
    backward_task(call, tasks[i], scratch, ahead);
  }
}

}  // namespace
}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::kernels {

HWY_EXPORT(forward_tasks);
HWY_EXPORT(backward_tasks);

namespace {

// Runs body(tasks, count) for all of them, several in a row on one thread: it fetches the next one's rows meanwhile.
template <class F>
void for_tasks(const std::vector<AttentionTask>& tasks, std::int64_t grain, F&& body) {
  parallel_for(static_cast<std::int64_t>(tasks.size()), grain, [&](std::int64_t begin, std::int64_t end) {
    body(tasks.data() + begin, static_cast<std::size_t>(end - begin));
  });
}

std::int64_t grain_of(const AttentionProblem& p, const std::vector<AttentionTask>& tasks) {
  const auto count = static_cast<std::int64_t>(tasks.size());
  return std::max(p.grain(count), std::min<std::int64_t>(8, count / 24));
}

// Every key head of every sequence, the queries of long ones in equal parts where there are few of those: a single long
// sequence must occupy all threads, too. The parts depend on the extents alone.
std::vector<AttentionTask> forward_parts(const AttentionProblem& p) {
  constexpr std::int64_t enough = 48;
  std::vector<AttentionTask> tasks;
  const std::int64_t wanted = chunk_count(enough, std::max<std::int64_t>(1, p.sequences * p.kv_heads));
  for (std::int64_t b = 0; b < p.sequences; ++b) {
    const std::int64_t queries = p.queries(b), parts = std::clamp<std::int64_t>(queries / strip_rows, 1, wanted);
    for (std::int64_t h = 0; h < p.kv_heads; ++h) {
      for (std::int64_t i = 0; i < parts; ++i) tasks.push_back({b, h, queries * i / parts, queries * (i + 1) / parts});
    }
  }
  return tasks;
}

// Operations of so many products between what queries see, of all heads: two products forward, five backward.
void count_products(const AttentionProblem& p, int products) {
  if (!profile::on()) return;
  std::int64_t seen = 0;
  for (std::int64_t b = 0; b < p.sequences; ++b) {
    for (std::int64_t i = 0; i < p.queries(b); ++i) seen += p.visible_keys(b, i).size();
  }
  profile::count(2.0 * products * static_cast<double>(seen) * static_cast<double>(p.heads * p.head_dim));
}

}  // namespace

void attention_forward_f32(const AttentionProblem& problem, const AttentionInputs<float>& in,
                           const HeadOutput<float>& out, float* logsumexp) {
  count_products(problem, 2);
  const ForwardCall call{problem, in, out, logsumexp};
  const std::vector<AttentionTask> tasks = forward_parts(problem);
  for_tasks(tasks, grain_of(problem, tasks), [&](const AttentionTask* first, std::size_t count) {
    HWY_DYNAMIC_DISPATCH(forward_tasks)(call, first, count);
  });
}

void attention_backward_f32(const AttentionProblem& problem, const AttentionInputs<float>& in,
                            const HeadRows<float>& dout, const float* logsumexp,
                            const AttentionGradients<float>& gradients) {
  count_products(problem, 5);
  const BackwardCall call{problem, in, dout, logsumexp, gradients};
  const std::int64_t n = problem.sequences, bias_size = problem.heads * in.bias.queries * in.bias.keys;
  std::vector<AttentionTask> tasks;
  const auto add = [&](std::int64_t b, std::int64_t h) { tasks.push_back({b, h, 0, problem.queries(b)}); };
  if (gradients.bias == nullptr) {
    for (std::int64_t i = 0; i < n * problem.kv_heads; ++i) add(i / problem.kv_heads, i % problem.kv_heads);
  } else {  // all sequences add to the bias of a head: one after the other
    if (!gradients.accumulate_bias) std::fill(gradients.bias, gradients.bias + bias_size, 0.0f);
    for (std::int64_t i = 0; i < n * problem.kv_heads; ++i) add(i % n, i / n);
  }
  for_tasks(tasks, gradients.bias == nullptr ? grain_of(problem, tasks) : n,
            [&](const AttentionTask* first, std::size_t count) {
              HWY_DYNAMIC_DISPATCH(backward_tasks)(call, first, count);
            });
}

}  // namespace fovea::kernels
#endif
