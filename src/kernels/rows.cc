#include "fovea/kernels/rows.h"

#include <algorithm>
#include <cstring>
#include <numeric>
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

// The numbers 0 ... count-1 sorted by the row they name, in their own order within one row: those of rows[i] are
// positions [begin[i], begin[i + 1]). Takes time by their number alone, not by that of the table's rows.
struct ByRow {
  std::vector<std::int64_t> positions, rows, begin;

  ByRow(const std::int64_t* row, std::int64_t count, std::int64_t table_rows)
      : positions(static_cast<std::size_t>(count)) {
    std::iota(positions.begin(), positions.end(), 0);
    constexpr int digit = 11;  // bits sorted by at a time
    for (int shift = 0; (table_rows - 1) >> shift > 0; shift += digit) sort_by_digit(row, shift, digit);
    for (std::size_t i = 0; i < positions.size(); ++i) {
      const std::int64_t r = row[positions[i]];
      if (!rows.empty() && rows.back() == r) continue;
      rows.push_back(r);
      begin.push_back(static_cast<std::int64_t>(i));
    }
    begin.push_back(count);
  }

 private:
  void sort_by_digit(const std::int64_t* row, int shift, int bits) {
    const auto bucket = [=](std::int64_t position) {
      return static_cast<std::size_t>(row[position] >> shift & ((std::int64_t{1} << bits) - 1));
    };
    std::vector<std::size_t> next((std::size_t{1} << bits) + 1);
    for (const std::int64_t position : positions) ++next[bucket(position) + 1];
    std::partial_sum(next.begin(), next.end(), next.begin());
    std::vector<std::int64_t> sorted(positions.size());
    for (const std::int64_t position : positions) sorted[next[bucket(position)]++] = position;
    positions.swap(sorted);
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
  const ByRow named(rows, count, table_rows);
  const auto groups = static_cast<std::int64_t>(named.rows.size());
  const auto sum_group = [&](std::int64_t i) {
    const std::int64_t begin = named.begin[static_cast<std::size_t>(i)];
    HWY_DYNAMIC_DISPATCH(sum_rows)
    (dy, named.positions.data() + begin, named.begin[static_cast<std::size_t>(i) + 1] - begin, width,
     dtable.data + named.rows[static_cast<std::size_t>(i)] * width, dtable.accumulate);
  };
  if (dtable.accumulate) {
    parallel_for(groups, 8, [&](std::int64_t i, std::int64_t end) {
      for (; i < end; ++i) sum_group(i);
    });
    return;
  }
  parallel_for(table_rows, std::clamp<std::int64_t>(table_rows / 64, 8, 512), [&](std::int64_t r, std::int64_t end) {
    std::int64_t i = std::lower_bound(named.rows.begin(), named.rows.end(), r) - named.rows.begin();
    for (; r < end; ++r, ++i) {  // the rows up to the next one that is named are zero
      const std::int64_t next = i < groups ? std::min(named.rows[static_cast<std::size_t>(i)], end) : end;
      std::fill(dtable.data + r * width, dtable.data + next * width, 0.0f);
      r = next;
      if (r < end) sum_group(i);
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
