#include "fovea/kernels/rows.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "fovea/core/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rows.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {

// out (+)= dy[order[0]] + ... + dy[order[count - 1]], one row each.
void sum_rows(const float* dy, const std::int64_t* order, std::int64_t count, std::int64_t width, float* out,
              bool accumulate) {
  for_lanes(width, [&](std::int64_t j, auto lanes) {
    VF32 total = accumulate ? lanes.load(out + j) : hn::Zero(F32());
    for (std::int64_t i = 0; i < count; ++i) total = hn::Add(total, lanes.load(dy + order[i] * width + j));
    lanes.store(total, out + j);
  });
}

// Segments [begin, end).
void segment_means(const float* x, const std::int64_t* offsets, std::int64_t begin, std::int64_t end,
                   std::int64_t width, float* y) {
  for (std::int64_t b = begin; b < end; ++b) {
    const std::int64_t first = offsets[b], last = offsets[b + 1];
    const VF32 scale = hn::Set(F32(), 1.0f / static_cast<float>(std::max<std::int64_t>(last - first, 1)));
    for_lanes(width, [&](std::int64_t j, auto lanes) {
      VF32 total = hn::Zero(F32());
      for (std::int64_t t = first; t < last; ++t) total = hn::Add(total, lanes.load(x + t * width + j));
      lanes.store(hn::Mul(total, scale), y + b * width + j);
    });
  }
}

// n elements times one factor.
void scale(const float* x, float factor, std::int64_t n, float* y, bool accumulate) {
  const VF32 by = hn::Set(F32(), factor);
  for_lanes(
      n, [&](std::int64_t i, auto lanes) { store_or_add(lanes, hn::Mul(by, lanes.load(x + i)), y + i, accumulate); });
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::kernels {

HWY_EXPORT(sum_rows);
HWY_EXPORT(segment_means);
HWY_EXPORT(scale);

namespace {

// The numbers 0 ... count-1 sorted by the row they name, in their own order within one row: those of row r are
// positions [begin[r], begin[r + 1]).
struct ByRow {
  std::vector<std::int64_t> begin, positions;

  ByRow(const std::int64_t* rows, std::int64_t count, std::int64_t table_rows)
      : begin(static_cast<std::size_t>(table_rows) + 1), positions(static_cast<std::size_t>(count)) {
    for (std::int64_t i = 0; i < count; ++i) ++begin[static_cast<std::size_t>(rows[i]) + 1];
    for (std::size_t r = 1; r < begin.size(); ++r) begin[r] += begin[r - 1];
    std::vector<std::int64_t> next = begin;
    for (std::int64_t i = 0; i < count; ++i) {
      positions[static_cast<std::size_t>(next[static_cast<std::size_t>(rows[i])]++)] = i;
    }
  }
};

}  // namespace

void gather_rows(const void* table, const std::int64_t* rows, std::int64_t count, std::int64_t row_bytes, void* out) {
  if (row_bytes == 0) return;
  const auto* from = static_cast<const char*>(table);
  auto* to = static_cast<char*>(out);
  parallel_for(count, 32, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      std::memcpy(to + i * row_bytes, from + rows[i] * row_bytes, static_cast<std::size_t>(row_bytes));
    }
  });
}

void scatter_add_rows_f32(const float* dy, const std::int64_t* rows, std::int64_t count, std::int64_t width,
                          std::int64_t table_rows, const GradTarget<float>& dtable) {
  const ByRow by_row(rows, count, table_rows);
  parallel_for(table_rows, 64, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t r = first; r < last; ++r) {
      const std::int64_t begin = by_row.begin[static_cast<std::size_t>(r)];
      const std::int64_t end = by_row.begin[static_cast<std::size_t>(r) + 1];
      float* out = dtable.data + r * width;
      if (begin < end) {
        HWY_DYNAMIC_DISPATCH(sum_rows)
        (dy, by_row.positions.data() + begin, end - begin, width, out, dtable.accumulate);
      } else if (!dtable.accumulate) {
        std::fill_n(out, width, 0.0f);
      }
    }
  });
}

void segment_mean_f32(const float* x, const std::int64_t* offsets, std::int64_t segments, std::int64_t width,
                      float* y) {
  parallel_for(segments, 4, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(segment_means)(x, offsets, begin, end, width, y);
  });
}

void scale_segments_f32(const float* x, const std::int64_t* offsets, const float* factors, std::int64_t segments,
                        std::int64_t width, const GradTarget<float>& y) {
  parallel_for(segments, 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t b = begin; b < end; ++b) {
      const std::int64_t first = offsets[b] * width, n = offsets[b + 1] * width - first;
      HWY_DYNAMIC_DISPATCH(scale)(x + first, factors[b], n, y.data + first, y.accumulate);
    }
  });
}

void spread_to_segments_f32(const float* x, const std::int64_t* offsets, const float* factors, std::int64_t segments,
                            std::int64_t width, const GradTarget<float>& y) {
  parallel_for(segments, 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t b = begin; b < end; ++b) {
      for (std::int64_t t = offsets[b]; t < offsets[b + 1]; ++t) {
        HWY_DYNAMIC_DISPATCH(scale)(x + b * width, factors[b], width, y.data + t * width, y.accumulate);
      }
    }
  });
}

}  // namespace fovea::kernels
#endif
