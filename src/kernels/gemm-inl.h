// The packed micro-kernel and the loops around it, shared by every product: matrices and convolutions. Included once
// per instruction set, after highway.h.
//
// Operands are described by three small types:
//   A  int64 blocks(), KBlock block(i)                 how k is cut: fixed by shapes alone
//      int64 buffer_size(block), fill(...)             pointers to the elements of a group of tile_rows rows
//      static constexpr bool packed                    whether fill copies into the buffer as [k][tile_rows]
//   B  pack(k_begin, k_end, n_begin, n_end, columns, out)   copies a panel as [k][columns], zero beyond n_end
//   C  float* row(i)                                   where a row of the result lies
#include <algorithm>
#include <cstdint>

#include "fovea/core/parallel.h"
#include "fovea/kernels/matrix.h"
#include "kernels/scratch.h"

#if defined(FOVEA_KERNELS_GEMM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FOVEA_KERNELS_GEMM_INL_H_
#undef FOVEA_KERNELS_GEMM_INL_H_
#else
#define FOVEA_KERNELS_GEMM_INL_H_
#endif

#include "kernels/math-inl.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {

// Tile of the result held in registers: tile_rows x two vectors.
#if HWY_TARGET == HWY_AVX3
constexpr int tile_rows = 8;
#elif HWY_TARGET == HWY_AVX2
constexpr int tile_rows = 6;
#else
constexpr int tile_rows = 4;
#endif
HWY_INLINE std::int64_t tile_columns() { return 2 * static_cast<std::int64_t>(hn::Lanes(F32())); }
constexpr std::int64_t max_tile = tile_rows * 2 * HWY_MAX_BYTES / static_cast<int>(sizeof(float));

constexpr std::int64_t k_block = 512;    // terms summed before the result is touched
constexpr std::int64_t task_rows = 192;  // rows of a task; with k_block of A they fit a second-level cache
constexpr std::int64_t packed_limit = std::int64_t{4} << 20;  // floats of B packed at a time
constexpr std::int64_t split_limit = std::int64_t{1} << 18;   // floats of a result that is summed in parts
constexpr std::int64_t max_parts = 16;

// A stretch of k: `segments` runs of `length` terms, contiguous in A.
struct KBlock {
  std::int64_t begin, segments, length;
  std::int64_t size() const { return segments * length; }
};

// out (tile_rows, tile_columns) = A B over one block of k. `table` has tile_rows pointers for each segment.
template <bool packed>
HWY_INLINE void multiply_tile(const float* const* HWY_RESTRICT table, std::int64_t segments, std::int64_t length,
                              const float* HWY_RESTRICT b, float* HWY_RESTRICT out) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  VF32 left[tile_rows], right[tile_rows];
#pragma GCC unroll 8
  for (int i = 0; i < tile_rows; ++i) left[i] = right[i] = hn::Zero(d);
  for (std::int64_t s = 0; s < segments; ++s, table += tile_rows) {
    const float* rows[tile_rows];
#pragma GCC unroll 8
    for (int i = 0; i < tile_rows; ++i) rows[i] = table[packed ? 0 : i];
    for (std::int64_t k = 0; k < length; ++k, b += 2 * lanes) {
      const VF32 b0 = hn::Load(d, b), b1 = hn::Load(d, b + lanes);
#pragma GCC unroll 8
      for (int i = 0; i < tile_rows; ++i) {
        const VF32 a = hn::Set(d, packed ? rows[0][k * tile_rows + i] : rows[i][k]);
        left[i] = hn::MulAdd(a, b0, left[i]);
        right[i] = hn::MulAdd(a, b1, right[i]);
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < tile_rows; ++i) {
    hn::Store(left[i], d, out + 2 * i * lanes);
    hn::Store(right[i], d, out + (2 * i + 1) * lanes);
  }
}

// Where one tile goes and what is done to it. Offsets are from the start of the result.
struct TileTarget {
  float* const* rows;            // of the result
  const float* origin;           // of the result, which preactivation and residual mirror
  std::int64_t count;            // rows that exist
  std::int64_t column, columns;  // first column, columns that exist
  bool add, last;                // add to the result; apply the epilogue
};

template <Activation kind>
HWY_INLINE void store_tile(const float* HWY_RESTRICT tile, const TileTarget& to, const Epilogue<float>& e) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t i = 0; i < to.count; ++i) {
    float* c = to.rows[i] + to.column;
    const std::int64_t offset = c - to.origin;
    for_lanes(to.columns, [&](std::int64_t j, auto some) {
      VF32 v = hn::Load(d, tile + 2 * i * lanes + j);
      if (to.add) v = hn::Add(v, some.load(c + j));
      if (to.last) {
        if (e.bias) v = hn::Add(v, some.load(e.bias + to.column + j));
        if (e.preactivation) some.store(v, e.preactivation + offset + j);
        v = activate<kind>(d, v);
        if (e.residual) v = hn::Add(v, some.load(e.residual + offset + j));
      }
      some.store(v, c + j);
    });
  }
}

// Rows of a row-major result.
struct RowMajorC {
  float* data;
  std::int64_t stride;
  float* row(std::int64_t i) const { return data + i * stride; }
};

// Rows [begin, end) of A over one block of k, ready for the micro-kernel, and where their results go.
template <class A>
class RowGroups {
 public:
  template <class C>
  RowGroups(const A& a, const KBlock& block, std::int64_t begin, std::int64_t end, const C& c)
      : block_(block),
        rows_(end - begin),
        groups_((rows_ + tile_rows - 1) / tile_rows),
        results_(groups_ * tile_rows),
        table_(groups_ * block.segments * tile_rows),
        copies_(groups_ * a.buffer_size(block)) {
    for (std::int64_t i = 0; i < groups_ * tile_rows; ++i) results_[i] = c.row(std::min(begin + i, end - 1));
    for (std::int64_t g = 0; g < groups_; ++g) {
      a.fill(begin + g * tile_rows, end, block, copies_.data() + g * a.buffer_size(block),
             table_.data() + g * block.segments * tile_rows);
    }
  }

  // Columns [n, n_end) of the result from the packed panel of B.
  void multiply(const float* panel, std::int64_t n, std::int64_t n_end, const float* origin, bool add, bool last,
                const Epilogue<float>& epilogue) const {
    HWY_ALIGN float tile[max_tile];
    for (std::int64_t g = 0; g < groups_; ++g) {
      multiply_tile<A::packed>(table_.data() + g * block_.segments * tile_rows, block_.segments, block_.length, panel,
                               tile);
      const std::int64_t count = std::min<std::int64_t>(tile_rows, rows_ - g * tile_rows);
      const TileTarget target{results_.data() + g * tile_rows, origin, count, n, n_end - n, add, last};
      with_activation(last ? epilogue.activation : Activation::none,
                      [&]<Activation kind>() HWY_ATTR { store_tile<kind>(tile, target, epilogue); });
    }
  }

 private:
  KBlock block_;
  std::int64_t rows_, groups_;
  Scratch<float*> results_;
  Scratch<const float*> table_;
  Scratch<float> copies_;
};

// Panels [first_panel, end_panel) of the result, cut into tasks by rows and columns.
template <class A, class B, class C>
void multiply_panels(std::int64_t m, std::int64_t n, std::int64_t first_panel, std::int64_t end_panel, const A& a,
                     const B& b, const C& c, const float* origin, const Epilogue<float>& epilogue) {
  const std::int64_t width = tile_columns(), panels = end_panel - first_panel;
  const std::int64_t blocks = a.blocks();
  // Tasks cover task_rows rows and, when those are few, a part of the columns.
  const std::int64_t rows_per_task = (std::min(m, task_rows) + tile_rows - 1) / tile_rows * tile_rows;
  const std::int64_t row_tasks = (m + rows_per_task - 1) / rows_per_task;
  const std::int64_t panels_per_task = std::min(panels, std::max<std::int64_t>(1, panels * row_tasks / 16));
  const std::int64_t column_tasks = (panels + panels_per_task - 1) / panels_per_task;

  for (std::int64_t first = 0, end = 0; first < blocks; first = end) {
    std::int64_t depth = 0;  // of the blocks [first, end), whose B is packed at once
    for (end = first; end < blocks && (end == first || (depth + a.block(end).size()) * panels * width <= packed_limit);
         ++end) {
      depth += a.block(end).size();
    }
    const Scratch<float> packed(depth * panels * width);
    const auto packed_panel = [&, k_begin = a.block(first).begin](const KBlock& block, std::int64_t panel) {
      return packed.data() + ((block.begin - k_begin) * panels + (panel - first_panel) * block.size()) * width;
    };
    parallel_for((end - first) * panels, 4, [&](std::int64_t task, std::int64_t task_end) {
      for (; task < task_end; ++task) {
        const KBlock block = a.block(first + task / panels);
        const std::int64_t panel = first_panel + task % panels;
        b.pack(block.begin, block.begin + block.size(), panel * width, std::min(n, (panel + 1) * width), width,
               packed_panel(block, panel));
      }
    });
    parallel_for(row_tasks * column_tasks, 1, [&](std::int64_t task, std::int64_t task_end) {
      for (; task < task_end; ++task) {
        const std::int64_t row = task / column_tasks * rows_per_task;
        const std::int64_t panel = first_panel + task % column_tasks * panels_per_task;
        for (std::int64_t i = first; i < end; ++i) {
          const KBlock block = a.block(i);
          const RowGroups<A> groups(a, block, row, std::min(m, row + rows_per_task), c);
          for (std::int64_t p = panel; p < std::min(end_panel, panel + panels_per_task); ++p) {
            groups.multiply(packed_panel(block, p), p * width, std::min(n, (p + 1) * width), origin,
                            i > 0 || epilogue.accumulate, i == blocks - 1, epilogue);
          }
        }
      }
    });
  }
}

// c (m, n) = epilogue(A B), as many panels at a time as can be packed over one block of k. `origin` is the start of the
// result.
template <class A, class B, class C>
void multiply_tiled(std::int64_t m, std::int64_t n, const A& a, const B& b, const C& c, const float* origin,
                    const Epilogue<float>& epilogue) {
  const std::int64_t width = tile_columns(), panels = (n + width - 1) / width;
  const std::int64_t block_size = std::max<std::int64_t>(1, a.block(0).size());
  const std::int64_t at_once = std::max<std::int64_t>(1, packed_limit / (block_size * width));
  for (std::int64_t panel = 0; panel < panels; panel += at_once) {
    multiply_panels(m, n, panel, std::min(panels, panel + at_once), a, b, c, origin, epilogue);
  }
}

// c (m, n) = or += A B with k cut into `parts`, each summed on its own: for small results of long sums, such as the
// gradients of weights.
template <class A, class B, class C>
void multiply_split(std::int64_t parts, std::int64_t m, std::int64_t n, const A& a, const B& b, const C& c,
                    bool accumulate) {
  const std::int64_t width = tile_columns(), blocks = a.blocks();
  const Scratch<float> partial(parts * m * n);
  parallel_for(parts, 1, [&](std::int64_t part, std::int64_t part_end) {
    for (; part < part_end; ++part) {
      float* sum = partial.data() + part * m * n;
      const std::int64_t first = blocks * part / parts;
      for (std::int64_t i = first; i < blocks * (part + 1) / parts; ++i) {
        const KBlock block = a.block(i);
        const RowGroups<A> groups(a, block, 0, m, RowMajorC{sum, n});
        const Scratch<float> panel(block.size() * width);
        for (std::int64_t j = 0; j < n; j += width) {
          const std::int64_t j_end = std::min(n, j + width);
          b.pack(block.begin, block.begin + block.size(), j, j_end, width, panel.data());
          groups.multiply(panel.data(), j, j_end, sum, i > first, false, {});
        }
      }
    }
  });
  parallel_for(m, std::max<std::int64_t>(1, 16384 / n), [&](std::int64_t row, std::int64_t row_end) {
    for (; row < row_end; ++row) {
      float* to = c.row(row);
      for (std::int64_t part = 0; part < parts; ++part) {
        const float* from = partial.data() + (part * m + row) * n;
        if (part == 0 && !accumulate) {
          std::copy(from, from + n, to);
        } else {
          for (std::int64_t j = 0; j < n; ++j) to[j] += from[j];
        }
      }
    }
  });
}

// c (m, n) = epilogue(A B). `origin` is the start of the result.
template <class A, class B, class C>
void multiply(std::int64_t m, std::int64_t n, const A& a, const B& b, const C& c, const float* origin,
              const Epilogue<float>& epilogue) {
  if (m == 0 || n == 0) return;
  const bool plain =
      !epilogue.bias && !epilogue.preactivation && !epilogue.residual && epilogue.activation == Activation::none;
  const std::int64_t parts = std::min(max_parts, a.blocks() / 2);  // by shape alone: it decides the bits
  if (plain && m * n <= split_limit && parts > 1) {
    multiply_split(parts, m, n, a, b, c, epilogue.accumulate);
  } else {
    multiply_tiled(m, n, a, b, c, origin, epilogue);
  }
}

// Blocks of a contiguous k.
struct PlainBlocks {
  std::int64_t depth;
  std::int64_t blocks() const { return std::max<std::int64_t>(1, (depth + k_block - 1) / k_block); }
  KBlock block(std::int64_t i) const { return {i * k_block, 1, std::min(k_block, depth - i * k_block)}; }
};

// Rows of a row-major matrix, read where they lie.
struct RowMajorA : PlainBlocks {
  static constexpr bool packed = false;
  const float* data;
  std::int64_t stride;
  RowMajorA(const float* from, std::int64_t row_stride, std::int64_t k)
      : PlainBlocks{k}, data(from), stride(row_stride) {}

  std::int64_t buffer_size(const KBlock&) const { return 0; }
  void fill(std::int64_t row, std::int64_t row_end, const KBlock& block, float*, const float** table) const {
    for (int i = 0; i < tile_rows; ++i) table[i] = data + std::min(row + i, row_end - 1) * stride + block.begin;
  }
};

// Columns of a row-major matrix, copied side by side.
struct TransposedA : PlainBlocks {
  static constexpr bool packed = true;
  const float* data;
  std::int64_t stride;
  TransposedA(const float* from, std::int64_t row_stride, std::int64_t k)
      : PlainBlocks{k}, data(from), stride(row_stride) {}

  std::int64_t buffer_size(const KBlock& block) const { return block.size() * tile_rows; }
  void fill(std::int64_t row, std::int64_t row_end, const KBlock& block, float* out, const float** table) const {
    table[0] = out;
    const float* from = data + block.begin * stride + row;
    const std::int64_t count = std::min<std::int64_t>(tile_rows, row_end - row);
    for (std::int64_t k = 0; k < block.size(); ++k, from += stride, out += tile_rows) {
      if (count == tile_rows) {
        for (int i = 0; i < tile_rows; ++i) out[i] = from[i];
      } else {
        for (std::int64_t i = 0; i < tile_rows; ++i) out[i] = i < count ? from[i] : 0.0f;
      }
    }
  }
};

// Rows of a row-major matrix as rows of B.
struct RowMajorB {
  const float* data;
  std::int64_t stride;
  void pack(std::int64_t k, std::int64_t k_end, std::int64_t n, std::int64_t n_end, std::int64_t columns,
            float* out) const {
    const F32 d;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    for (; k < k_end; ++k, out += columns) {
      const float* from = data + k * stride + n;
      if (n_end - n == columns) {
        for (std::int64_t j = 0; j < columns; j += lanes) hn::Store(hn::LoadU(d, from + j), d, out + j);
      } else {
        std::copy(from, from + (n_end - n), out);
        std::fill(out + (n_end - n), out + columns, 0.0f);
      }
    }
  }
};

// Columns [0, 4) of four rows, `stride` apart, as rows `out_stride` apart.
HWY_INLINE void transpose_4x4(const float* HWY_RESTRICT from, std::int64_t stride, float* HWY_RESTRICT out,
                              std::int64_t out_stride) {
#if HWY_TARGET == HWY_SCALAR
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 4; ++j) out[j * out_stride + i] = from[i * stride + j];
  }
#else
  const hn::FixedTag<float, 4> d;
  const auto r0 = hn::LoadU(d, from), r1 = hn::LoadU(d, from + stride);
  const auto r2 = hn::LoadU(d, from + 2 * stride), r3 = hn::LoadU(d, from + 3 * stride);
  const auto even01 = hn::InterleaveLower(d, r0, r2), odd01 = hn::InterleaveLower(d, r1, r3);
  const auto even23 = hn::InterleaveUpper(d, r0, r2), odd23 = hn::InterleaveUpper(d, r1, r3);
  hn::StoreU(hn::InterleaveLower(d, even01, odd01), d, out);
  hn::StoreU(hn::InterleaveUpper(d, even01, odd01), d, out + out_stride);
  hn::StoreU(hn::InterleaveLower(d, even23, odd23), d, out + 2 * out_stride);
  hn::StoreU(hn::InterleaveUpper(d, even23, odd23), d, out + 3 * out_stride);
#endif
}

// Rows of a row-major matrix as columns of B.
struct TransposedB {
  const float* data;
  std::int64_t stride;
  void pack(std::int64_t k, std::int64_t k_end, std::int64_t n, std::int64_t n_end, std::int64_t columns,
            float* out) const {
    const float* from = data + n * stride + k;
    const std::int64_t depth = k_end - k, count = n_end - n;
    const std::int64_t blocked_depth = depth / 4 * 4, blocked_count = count / 4 * 4;
    for (std::int64_t p = 0; p < blocked_depth; p += 4) {
      for (std::int64_t j = 0; j < blocked_count; j += 4) {
        transpose_4x4(from + j * stride + p, stride, out + p * columns + j, columns);
      }
    }
    for (std::int64_t p = 0; p < depth; ++p) {
      std::int64_t j = p < blocked_depth ? blocked_count : 0;
      for (; j < count; ++j) out[p * columns + j] = from[j * stride + p];
      for (; j < columns; ++j) out[p * columns + j] = 0.0f;
    }
  }
};

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
