#include "fovea/kernels/reduce.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/reduce.cc"
#include <algorithm>

#include "fovea/core/parallel.h"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/scratch.h"
#include "kernels/vector-inl.h"

// What does not depend on the instruction set, seen by every pass of foreach_target.
#ifndef FOVEA_KERNELS_REDUCE_CC_
#define FOVEA_KERNELS_REDUCE_CC_
namespace fovea::kernels {
namespace {

enum class Fold { sum, dot, max };

constexpr std::int64_t row_block = 2048;    // numbers of a row reduced at a time
constexpr std::int64_t column_block = 128;  // rows reduced at a time where the last axis is kept
constexpr std::int64_t tile = 1024;         // columns of one task

// One level of a reduction: x (outer, count, inner) -> out (outer, blocks, inner).
struct Level {
  const float *x, *z;
  std::int64_t outer, count, inner;
  float* out;
  bool accumulate;

  std::int64_t block() const { return inner == 1 ? row_block : column_block; }
  std::int64_t blocks() const { return chunk_count(count, block()); }
  std::int64_t tiles() const { return chunk_count(inner, tile); }
  std::int64_t tasks() const { return outer * blocks() * tiles(); }
  std::int64_t task_size() const { return std::min(count, block()) * std::min(inner, tile); }
};

}  // namespace
}  // namespace fovea::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {

// What a term that is not there counts as.
template <Fold fold>
constexpr float neutral = fold == Fold::max ? -__builtin_inff() : 0.0f;

template <Fold fold>
HWY_INLINE VF32 fold_in(VF32 total, VF32 term) {
  if constexpr (fold != Fold::max) return hn::Add(total, term);
  return hn::IfThenElse(hn::Or(hn::Gt(term, total), hn::IsNaN(term)), term, total);  // Max may lose NaN
}

template <Fold fold, class Lanes = WholeVector>
HWY_INLINE VF32 load_term(const Level& level, std::int64_t at, const Lanes& lanes = {}) {
  const VF32 x = lanes.load(level.x + at, neutral<fold>);
  if constexpr (fold == Fold::dot) return hn::Mul(x, lanes.load(level.z + at, neutral<fold>));
  return x;
}

template <Fold fold>
HWY_INLINE float fold_lanes(F32 d, VF32 v) {
  if constexpr (fold != Fold::max) return hn::GetLane(hn::SumOfLanes(d, v));
  HWY_ALIGN float lanes[hn::MaxLanes(F32())];
  hn::Store(v, d, lanes);
  float largest = lanes[0];
  for (std::size_t i = 1; i < hn::Lanes(d); ++i) {
    if (lanes[i] > largest || lanes[i] != lanes[i]) largest = lanes[i];
  }
  return largest;
}

// n neighbouring numbers from `at` on, with four running totals to hide the latency of the addition.
template <Fold fold>
HWY_INLINE float fold_piece(const Level& level, std::int64_t at, std::int64_t n) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  VF32 a = hn::Set(d, neutral<fold>), b = a, c = a, e = a;
  std::int64_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    a = fold_in<fold>(a, load_term<fold>(level, at + i));
    b = fold_in<fold>(b, load_term<fold>(level, at + i + lanes));
    c = fold_in<fold>(c, load_term<fold>(level, at + i + 2 * lanes));
    e = fold_in<fold>(e, load_term<fold>(level, at + i + 3 * lanes));
  }
  for (; i + lanes <= n; i += lanes) a = fold_in<fold>(a, load_term<fold>(level, at + i));
  if (i < n) b = fold_in<fold>(b, load_term<fold>(level, at + i, PartialVector{static_cast<std::size_t>(n - i)}));
  return fold_lanes<fold>(d, fold_in<fold>(fold_in<fold>(a, b), fold_in<fold>(c, e)));
}

// The same by halves, until no running total has more than 64 terms: narrow vectors would lose precision.
template <Fold fold>
float fold_row(const Level& level, std::int64_t at, std::int64_t n) {
  const F32 d;
  const auto piece = static_cast<std::int64_t>(256 * hn::Lanes(d));
  if (n <= piece) return fold_piece<fold>(level, at, n);
  const std::int64_t half = (n / 2 + piece - 1) / piece * piece;
  const float first = fold_row<fold>(level, at, half), second = fold_row<fold>(level, at + half, n - half);
  return hn::GetLane(fold_in<fold>(hn::Set(d, first), hn::Set(d, second)));
}

// `rows` rows of n columns from `at` on.
template <Fold fold>
HWY_INLINE void fold_columns(const Level& level, std::int64_t at, std::int64_t rows, std::int64_t n, float* out) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const VF32 start = hn::Set(d, neutral<fold>);
  std::int64_t j = 0;
  for (; j + 4 * lanes <= n; j += 4 * lanes) {
    VF32 a = start, b = start, c = start, e = start;
    for (std::int64_t i = 0, p = at + j; i < rows; ++i, p += level.inner) {
      a = fold_in<fold>(a, load_term<fold>(level, p));
      b = fold_in<fold>(b, load_term<fold>(level, p + lanes));
      c = fold_in<fold>(c, load_term<fold>(level, p + 2 * lanes));
      e = fold_in<fold>(e, load_term<fold>(level, p + 3 * lanes));
    }
    const WholeVector whole;
    store_or_add(whole, a, out + j, level.accumulate);
    store_or_add(whole, b, out + j + lanes, level.accumulate);
    store_or_add(whole, c, out + j + 2 * lanes, level.accumulate);
    store_or_add(whole, e, out + j + 3 * lanes, level.accumulate);
  }
  for_lanes(n - j, [&](std::int64_t k, auto some) {
    VF32 a = start;
    for (std::int64_t i = 0; i < rows; ++i) {
      a = fold_in<fold>(a, load_term<fold>(level, at + i * level.inner + j + k, some));
    }
    store_or_add(some, a, out + j + k, level.accumulate);
  });
}

template <Fold fold>
HWY_INLINE void fold_task(const Level& level, std::int64_t task) {
  const std::int64_t part = task / level.tiles(), column = task % level.tiles() * tile;
  const std::int64_t first = part % level.blocks() * level.block();
  const std::int64_t count = std::min(level.block(), level.count - first);
  const std::int64_t at = (part / level.blocks() * level.count + first) * level.inner + column;
  float* out = level.out + part * level.inner + column;
  if (level.inner == 1) {
    const float total = fold_row<fold>(level, at, count);
    *out = level.accumulate ? *out + total : total;
  } else {
    fold_columns<fold>(level, at, count, std::min(tile, level.inner - column), out);
  }
}

void fold_tasks(Fold fold, const Level& level, std::int64_t begin, std::int64_t end) {
  for (std::int64_t task = begin; task < end; ++task) {
    switch (fold) {
      case Fold::sum: fold_task<Fold::sum>(level, task); break;
      case Fold::dot: fold_task<Fold::dot>(level, task); break;
      case Fold::max: fold_task<Fold::max>(level, task); break;
    }
  }
}

double squared_norm_block(const float* x, std::int64_t n) {
  const hn::ScalableTag<double> wide;
  const hn::Rebind<float, decltype(wide)> narrow;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(wide));
  auto a = hn::Zero(wide), b = hn::Zero(wide);
  const auto add_square = [&](auto total, const float* p) {
    const auto v = hn::PromoteTo(wide, hn::LoadU(narrow, p));
    return hn::MulAdd(v, v, total);
  };
  std::int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    a = add_square(a, x + i);
    b = add_square(b, x + i + lanes);
  }
  double total = hn::GetLane(hn::SumOfLanes(wide, hn::Add(a, b)));
  for (; i < n; ++i) total += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return total;
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::kernels {
namespace {

constexpr std::int64_t grain = 1 << 14;  // numbers of one chunk

}  // namespace

HWY_EXPORT(fold_tasks);
HWY_EXPORT(squared_norm_block);

namespace {

void fold_level(Fold fold, const Level& level) {
  const std::int64_t tasks_per_chunk = std::max<std::int64_t>(1, grain / level.task_size());
  parallel_for(level.tasks(), tasks_per_chunk, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(fold_tasks)(fold, level, begin, end);
  });
}

// Reduces blocks, then the results of the blocks in the same way, until one is left.
void fold_axis(Fold fold, Level level) {
  if (level.outer * level.inner == 0) return;
  if (level.blocks() <= 1) return fold_level(fold, level);
  const Scratch<float> partial(level.outer * level.blocks() * level.inner);
  Level first = level;
  first.out = partial.data();
  first.accumulate = false;
  fold_level(fold, first);
  level.x = partial.data();
  level.count = level.blocks();
  fold_axis(fold == Fold::dot ? Fold::sum : fold, level);
}

void fold_or_zero(Fold fold, const Level& level) {
  if (level.count > 0) {
    fold_axis(fold, level);
  } else if (!level.accumulate) {
    std::fill(level.out, level.out + level.outer * level.inner, 0.0f);
  }
}

}  // namespace

void sum_axis_f32(const float* x, std::int64_t outer, std::int64_t count, std::int64_t inner, float* out,
                  bool accumulate) {
  fold_or_zero(Fold::sum, {x, nullptr, outer, count, inner, out, accumulate});
}

void dot_axis_f32(const float* x, const float* z, std::int64_t outer, std::int64_t count, std::int64_t inner,
                  float* out, bool accumulate) {
  fold_or_zero(Fold::dot, {x, z, outer, count, inner, out, accumulate});
}

void max_axis_f32(const float* x, std::int64_t outer, std::int64_t count, std::int64_t inner, float* out) {
  fold_axis(Fold::max, {x, nullptr, outer, count, inner, out, false});
}

void column_sum_f32(const float* x, std::int64_t rows, std::int64_t cols, float* out, bool accumulate) {
  sum_axis_f32(x, 1, rows, cols, out, accumulate);
}

double squared_norm_f32(const float* x, std::int64_t n) {
  const std::int64_t chunks = chunk_count(n, grain);
  const Scratch<double> partial(chunks);
  parallel_for(n, grain, [&](std::int64_t begin, std::int64_t end) {
    partial[begin / grain] = HWY_DYNAMIC_DISPATCH(squared_norm_block)(x + begin, end - begin);
  });
  double total = 0;
  for (std::int64_t i = 0; i < chunks; ++i) total += partial[i];
  return total;
}

}  // namespace fovea::kernels
#endif
