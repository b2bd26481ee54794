// The packed micro-kernel and the loops around it, shared by every product: matrices and convolutions. Included once
// per instruction set, after highway.h.
//
// Operands are described by three small types:
//   A  int64 blocks(), KBlock block(i)                 how k is cut: fixed by shapes alone
//      static constexpr bool packed
//      unpacked: fill(row, row_end, block, table)      pointers to the runs of a group of tile_rows rows
//      packed:   pack(m, block, k, k_end, out)         copies terms [k, k_end) of the block of all groups of rows,
//      which
//                                                      lie as [group][term][tile_rows]
//   B  pack(k_begin, k_end, n_begin, n_end, columns, out)   copies a panel as [k][columns], zero beyond n_end
//   C  float* row(i)                                   where a row of the result lies
#include <algorithm>
#include <cstdint>

#include "fovea/core/cpu.h"
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

// Tile of the result held in registers, tile_rows x tile_vectors vectors, and the terms summed before the result is
// touched: they decide the bits, so they are constants of the instruction set.
#if HWY_TARGET == HWY_AVX3
constexpr int tile_rows = 8, tile_vectors = 3;
constexpr std::int64_t k_block = 768;
#elif HWY_TARGET == HWY_AVX2
constexpr int tile_rows = 6, tile_vectors = 2;
constexpr std::int64_t k_block = 512;
#else
constexpr int tile_rows = 4, tile_vectors = 2;
constexpr std::int64_t k_block = 512;
#endif
constexpr std::int64_t max_tile = tile_rows * tile_vectors * HWY_MAX_BYTES / static_cast<int>(sizeof(float));

constexpr std::int64_t cached_rows = 96;    // of A; over a block of k they fit a second-level cache beside panels of B
constexpr std::int64_t few_rows = 160;      // of a result; then rows of B are read where they lie if they can be
constexpr std::int64_t pack_rows = 8;       // rows of B copied to all panels together, so that memory is read in order
constexpr std::int64_t prefetch_rows = 32;  // how far ahead of a copy rows are fetched
constexpr std::int64_t packed_limit = std::int64_t{4} << 20;  // floats of B packed at a time
constexpr std::int64_t split_limit = std::int64_t{1} << 16;   // floats of a result that is summed in parts
constexpr std::int64_t max_parts = 16;

// A stretch of k: `segments` runs of `length` terms, contiguous in A.
struct KBlock {
  std::int64_t begin, segments, length;
  std::int64_t size() const { return segments * length; }
};

// The columns of a result as panels of tile_vectors vectors. The last ones are narrower, yet two vectors wide where
// possible: a panel of one vector keeps the multipliers half busy.
class Panels {
 public:
  explicit Panels(std::int64_t n) : n_(n), lanes_(static_cast<std::int64_t>(hn::Lanes(F32()))) {
    const std::int64_t vectors = (n + lanes_ - 1) / lanes_;
    whole_ = vectors / tile_vectors;
    std::int64_t rest = vectors % tile_vectors;
    if (tile_vectors == 3 && rest == 1 && whole_ > 0) {
      --whole_;
      rest += tile_vectors;
    }
    narrow_ = rest == 1 ? 1 : 2;
    count_ = whole_ + (rest + narrow_ - 1) / narrow_;
    width_ = vectors * lanes_;
  }
  std::int64_t count() const { return count_; }
  std::int64_t vectors(std::int64_t i) const { return i < whole_ ? tile_vectors : narrow_; }
  std::int64_t begin(std::int64_t i) const {
    return lanes_ * (std::min(i, whole_) * tile_vectors + std::max<std::int64_t>(0, i - whole_) * narrow_);
  }
  std::int64_t end(std::int64_t i) const { return std::min(n_, begin(i + 1)); }
  std::int64_t width(std::int64_t i) const { return vectors(i) * lanes_; }  // of panel i, padding included
  std::int64_t width() const { return width_; }                             // of all

 private:
  std::int64_t n_, lanes_, whole_, narrow_, count_, width_;
};

// Calls f.operator()<vectors>() for a panel's number of vectors.
template <class F>
HWY_INLINE void with_vectors(std::int64_t vectors, const F& f) {
  if (vectors == tile_vectors) {
    f.template operator()<tile_vectors>();
  } else if (tile_vectors > 2 && vectors == 2) {
    f.template operator()<2>();
  } else {
    f.template operator()<1>();
  }
}

// One panel of B over one block of k: its rows are `stride` apart.
struct PanelView {
  const float* data;
  std::int64_t stride;
};

// Where one tile goes and what is done to it. Offsets are from the start of the result.
struct TileTarget {
  float* const* rows;            // of the result
  const float* origin;           // of the result, which preactivation and residual mirror
  std::int64_t count;            // rows that exist
  std::int64_t column, columns;  // first column, columns that exist
  bool add, last;                // add to the result; apply the epilogue
};

// The general way out of a tile (tile_rows, stride).
template <Activation kind>
HWY_INLINE void store_tile(const float* HWY_RESTRICT tile, std::int64_t stride, const TileTarget& to,
                           const Epilogue<float>& e) {
  const F32 d;
  for (std::int64_t i = 0; i < to.count; ++i, tile += stride) {
    float* c = to.rows[i] + to.column;
    const std::int64_t offset = c - to.origin;
    for_lanes(to.columns, [&](std::int64_t j, auto some) {
      VF32 v = hn::Load(d, tile + j);
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

inline bool is_plain(const Epilogue<float>& e) {
  return !e.bias && !e.preactivation && !e.residual && e.activation == Activation::none;
}

// One tile: A B over one block of k. `table` has tile_rows pointers for each segment; packed, its first points to
// [k][tile_rows].
template <bool packed, int vectors>
HWY_NOINLINE void multiply_tile(const float* const* HWY_RESTRICT table, std::int64_t segments, std::int64_t length,
                                const PanelView& panel, const TileTarget& to, const Epilogue<float>& epilogue) {
  const F32 d;
  const float* HWY_RESTRICT b = panel.data;
  const std::int64_t b_stride = panel.stride;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const bool direct = to.count == tile_rows && to.columns == vectors * lanes && !(to.last && !is_plain(epilogue));
  if (direct && to.add) {  // the result arrives while the sums are formed
    for (int i = 0; i < tile_rows; ++i) {
      for (std::int64_t j = 0; j < vectors * lanes; j += 16) __builtin_prefetch(to.rows[i] + to.column + j, 1);
    }
  }
  VF32 sum[tile_rows][vectors];
#pragma GCC unroll 16
  for (int i = 0; i < tile_rows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) sum[i][v] = hn::Zero(d);
  }
  for (std::int64_t s = 0; s < segments; ++s, table += tile_rows) {
    const float* rows[tile_rows];
#pragma GCC unroll 16
    for (int i = 0; i < tile_rows; ++i) rows[i] = table[packed ? 0 : i];
    for (std::int64_t k = 0; k < length; ++k, b += b_stride) {
      VF32 right[vectors];
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) right[v] = hn::LoadU(d, b + v * lanes);
#pragma GCC unroll 16
      for (int i = 0; i < tile_rows; ++i) {
        const VF32 a = hn::Set(d, packed ? rows[0][k * tile_rows + i] : rows[i][k]);
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) sum[i][v] = hn::MulAdd(a, right[v], sum[i][v]);
      }
    }
  }
  if (direct) {
#pragma GCC unroll 16
    for (int i = 0; i < tile_rows; ++i) {
      float* c = to.rows[i] + to.column;
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) {
        hn::StoreU(to.add ? hn::Add(sum[i][v], hn::LoadU(d, c + v * lanes)) : sum[i][v], d, c + v * lanes);
      }
    }
    return;
  }
  HWY_ALIGN float tile[max_tile];
#pragma GCC unroll 16
  for (int i = 0; i < tile_rows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) hn::Store(sum[i][v], d, tile + (i * vectors + v) * lanes);
  }
  with_activation(to.last ? epilogue.activation : Activation::none,
                  [&]<Activation kind>() HWY_ATTR { store_tile<kind>(tile, vectors * lanes, to, epilogue); });
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
        copies_(A::packed ? groups_ * tile_rows * block.size() : 0) {
    for (std::int64_t i = 0; i < groups_ * tile_rows; ++i) results_[i] = c.row(std::min(begin + i, end - 1));
    if constexpr (A::packed) a.pack(begin, end, block, copies_.data());
    for (std::int64_t g = 0; g < groups_; ++g) {
      const float** table = table_.data() + g * block.segments * tile_rows;
      if constexpr (A::packed) {
        *table = copies_.data() + g * block.size() * tile_rows;
      } else {
        a.fill(begin + g * tile_rows, end, block, table);
      }
    }
  }

  // All rows times panels [first, end) of B. Some panels at a time stay in the second-level cache while the rows pass.
  template <class PanelOf>
  void multiply(const Panels& panels, std::int64_t first, std::int64_t end, const PanelOf& panel_of,
                const float* origin, bool add, bool last, const Epilogue<float>& epilogue) const {
    const std::int64_t panel_bytes =
        std::max<std::int64_t>(1, block_.size()) * panels.width(0) * static_cast<std::int64_t>(sizeof(float));
    const std::int64_t at_once = std::max<std::int64_t>(1, cpu::cache_sizes().l2 / 16 * 7 / panel_bytes);
    for (std::int64_t begin = first; begin < end; begin += at_once) {
      for (std::int64_t g = 0; g < groups_; ++g) {
        const std::int64_t count = std::min<std::int64_t>(tile_rows, rows_ - g * tile_rows);
        for (std::int64_t p = begin; p < std::min(end, begin + at_once); ++p) {
          multiply_group(g, panels.vectors(p), panel_of(p),
                         {results_.data() + g * tile_rows, origin, count, panels.begin(p),
                          panels.end(p) - panels.begin(p), add, last},
                         epilogue);
        }
      }
    }
  }

 private:
  void multiply_group(std::int64_t g, std::int64_t vectors, const PanelView& panel, const TileTarget& to,
                      const Epilogue<float>& epilogue) const {
    const float* const* table = table_.data() + g * block_.segments * tile_rows;
    with_vectors(vectors, [&]<int width>() HWY_ATTR {
      multiply_tile<A::packed, width>(table, block_.segments, block_.length, panel, to, epilogue);
    });
  }

  KBlock block_;
  std::int64_t rows_, groups_;
  Scratch<float*> results_;
  Scratch<const float*> table_;
  Scratch<float> copies_;
};

// Panels [first_panel, end_panel) of blocks [first, end) of B, copied by all threads.
template <class A, class B>
class PackedPanels {
 public:
  PackedPanels(const A& a, std::int64_t first, std::int64_t end, const B& b, const Panels& panels,
               std::int64_t first_panel, std::int64_t end_panel)
      : panels_(panels),
        k_first_(a.block(first).begin),
        column_(panels.begin(first_panel)),
        columns_(panels.begin(end_panel) - column_),
        copies_((a.block(end - 1).begin + a.block(end - 1).size() - k_first_) * columns_) {
    const std::int64_t size = a.block(first).size();  // of the largest block
    const std::int64_t parts = B::by_rows ? (size + strip - 1) / strip : end_panel - first_panel;
    parallel_for((end - first) * parts, 2, [&](std::int64_t task, std::int64_t task_end) {
      for (; task < task_end; ++task) {
        const KBlock block = a.block(first + task / parts);
        const std::int64_t part = task % parts;
        if (B::by_rows) {
          const std::int64_t k_end = std::min(block.size(), (part + 1) * strip);
          for (std::int64_t k = part * strip; k < k_end; k += pack_rows) {
            for (std::int64_t p = first_panel; p < end_panel; ++p) pack(b, block, k, std::min(k_end, k + pack_rows), p);
          }
        } else {
          pack(b, block, 0, block.size(), first_panel + part);
        }
      }
    });
  }

  PanelView panel(const KBlock& block, std::int64_t p) const { return {at(block, p), panels_.width(p)}; }

 private:
  static constexpr std::int64_t strip = 4 * pack_rows;  // terms of a task

  float* at(const KBlock& block, std::int64_t p) const {
    return copies_.data() + (block.begin - k_first_) * columns_ + (panels_.begin(p) - column_) * block.size();
  }
  void pack(const B& b, const KBlock& block, std::int64_t k, std::int64_t k_end, std::int64_t p) const {
    const std::int64_t width = panels_.width(p);
    b.pack(block.begin + k, block.begin + k_end, panels_.begin(p), panels_.end(p), width, at(block, p) + k * width);
  }

  const Panels& panels_;
  std::int64_t k_first_, column_, columns_;
  Scratch<float> copies_;
};

// A result of m rows and some panels, cut into tasks of equal size: rows, and columns where rows alone would leave
// threads idle at the end. A task that packs its rows of A takes as many as stay in the second-level cache.
struct Tasks {
  std::int64_t m, first_panel, end_panel, rows, row_tasks, panels, column_tasks;

  Tasks(std::int64_t result_rows, std::int64_t first, std::int64_t end, bool rows_are_packed)
      : m(result_rows), first_panel(first), end_panel(end) {
    const auto divide = [](std::int64_t a, std::int64_t b) { return (a + b - 1) / b; };
    const std::int64_t threads = num_threads(), count = end - first;
    const std::int64_t wanted = threads == 1 ? 1 : (rows_are_packed ? 4 : 8) * threads;
    const std::int64_t fewest = rows_are_packed ? cached_rows : 48, most = rows_are_packed ? 128 : 768;
    row_tasks = divide(m, std::clamp(divide(m, wanted), fewest, most));
    row_tasks = divide(row_tasks, threads) * threads;
    rows = divide(divide(m, row_tasks), tile_rows) * tile_rows;
    row_tasks = divide(m, rows);
    panels = divide(count, std::min(count, divide(wanted, row_tasks)));
    column_tasks = divide(count, panels);
  }

  // Calls f(first row, end row, first panel, end panel) for each task, on all threads.
  template <class F>
  void run(const F& f) const {
    parallel_for(row_tasks * column_tasks, 1, [&](std::int64_t task, std::int64_t task_end) {
      for (; task < task_end; ++task) {
        const std::int64_t row = task / column_tasks * rows, panel = first_panel + task % column_tasks * panels;
        f(row, std::min(m, row + rows), panel, std::min(end_panel, panel + panels));
      }
    });
  }
};

// c (m, n) = epilogue(A B). As many panels as packed_limit allows over one block of k are computed together; of these
// as many blocks of k are packed together as block_limit allows: few where A is packed as well, so that both are still
// in a cache when they are used. `origin` is the start of the result.
template <class A, class B, class C>
void multiply_tiled(std::int64_t m, std::int64_t n, const A& a, const B& b, const C& c, const float* origin,
                    const Epilogue<float>& epilogue) {
  constexpr std::int64_t block_limit = packed_limit / (A::packed ? 8 : 2);
  const Panels panels(n);
  const std::int64_t blocks = a.blocks(), block_size = std::max<std::int64_t>(1, a.block(0).size());
  const std::int64_t panels_at_once = std::max<std::int64_t>(1, packed_limit / (block_size * panels.width(0)));
  for (std::int64_t panel = 0; panel < panels.count(); panel += panels_at_once) {
    const std::int64_t panel_end = std::min(panels.count(), panel + panels_at_once);
    const std::int64_t columns = panels.begin(panel_end) - panels.begin(panel);
    const std::int64_t blocks_at_once = std::max<std::int64_t>(1, block_limit / (block_size * columns));
    const Tasks tasks(m, panel, panel_end, A::packed);
    for (std::int64_t first = 0; first < blocks; first += blocks_at_once) {
      const std::int64_t end = std::min(blocks, first + blocks_at_once);
      const PackedPanels<A, B> packed(a, first, end, b, panels, panel, panel_end);
      tasks.run([&](std::int64_t row, std::int64_t row_end, std::int64_t p, std::int64_t p_end) {
        for (std::int64_t i = first; i < end; ++i) {
          const KBlock block = a.block(i);
          RowGroups<A>(a, block, row, row_end, c)
              .multiply(
                  panels, p, p_end, [&](std::int64_t at) { return packed.panel(block, at); }, origin,
                  i > 0 || epilogue.accumulate, i == blocks - 1, epilogue);
        }
      });
    }
  }
}

// The same with rows of B read where they lie, for so few rows of A that a copy would not pay.
template <class A, class B, class C>
void multiply_in_place(std::int64_t m, std::int64_t n, const A& a, const B& b, const C& c, const float* origin,
                       const Epilogue<float>& epilogue) {
  const Panels panels(n);
  const std::int64_t blocks = a.blocks();
  Tasks(m, 0, panels.count(), false)
      .run([&](std::int64_t row, std::int64_t row_end, std::int64_t p, std::int64_t p_end) {
        for (std::int64_t i = 0; i < blocks; ++i) {
          const KBlock block = a.block(i);
          const auto panel_of = [&](std::int64_t at) {
            return PanelView{b.data + block.begin * b.stride + panels.begin(at), b.stride};
          };
          RowGroups<A>(a, block, row, row_end, c)
              .multiply(panels, p, p_end, panel_of, origin, i > 0 || epilogue.accumulate, i == blocks - 1, epilogue);
        }
      });
}

// c (m, n) = or += A B with k cut into `parts`, each summed on its own: for small results of long sums, such as the
// gradients of weights.
template <class A, class B, class C>
void multiply_split(std::int64_t parts, std::int64_t m, std::int64_t n, const A& a, const B& b, const C& c,
                    bool accumulate) {
  const Panels panels(n);
  const std::int64_t blocks = a.blocks();
  const Scratch<float> partial(parts * m * n);
  parallel_for(parts, 1, [&](std::int64_t part, std::int64_t part_end) {
    for (; part < part_end; ++part) {
      float* sum = partial.data() + part * m * n;
      const std::int64_t first = blocks * part / parts;
      for (std::int64_t i = first; i < blocks * (part + 1) / parts; ++i) {
        const KBlock block = a.block(i);
        const PackedPanels<A, B> packed(a, i, i + 1, b, panels, 0, panels.count());
        for (std::int64_t row = 0; row < m; row += cached_rows) {
          RowGroups<A>(a, block, row, std::min(m, row + cached_rows), RowMajorC{sum, n})
              .multiply(panels, 0, panels.count(), [&](std::int64_t p) { return packed.panel(block, p); }, sum,
                        i > first, false, {});
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
  const std::int64_t parts = std::min(max_parts, a.blocks());  // by shape alone: it decides the bits
  if (is_plain(epilogue) && m * n <= split_limit && parts > 1) {
    multiply_split(parts, m, n, a, b, c, epilogue.accumulate);
  } else if constexpr (!A::packed && requires { b.readable_in_place(n); }) {
    if (m <= few_rows && b.readable_in_place(n)) {
      multiply_in_place(m, n, a, b, c, origin, epilogue);
    } else {
      multiply_tiled(m, n, a, b, c, origin, epilogue);
    }
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

  void fill(std::int64_t row, std::int64_t row_end, const KBlock& block, const float** table) const {
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

  void pack(std::int64_t row, std::int64_t row_end, const KBlock& block, float* out) const {
    constexpr std::int64_t together = 16;  // rows of the matrix read together, so that each is read in order
    for (std::int64_t k = 0; k < block.size(); k += together) {
      const std::int64_t k_end = std::min(block.size(), k + together);
      for (std::int64_t r = row; r < row_end; r += tile_rows) {
        const std::int64_t count = std::min<std::int64_t>(tile_rows, row_end - r);
        float* to = out + (r - row) * block.size() + k * tile_rows;
        const float* from = data + (block.begin + k) * stride + r;
        for (std::int64_t t = k; t < k_end; ++t, from += stride, to += tile_rows) {
          __builtin_prefetch(from + prefetch_rows * stride);
          if (count == tile_rows) {
            std::memcpy(to, from, sizeof(float) * tile_rows);
          } else {
            for (std::int64_t i = 0; i < tile_rows; ++i) to[i] = i < count ? from[i] : 0.0f;
          }
        }
      }
    }
  }
};

// Rows of a row-major matrix as rows of B.
struct RowMajorB {
  static constexpr bool by_rows = true;
  const float* data;
  std::int64_t stride;
  // Whether no panel of n columns reaches beyond them.
  bool readable_in_place(std::int64_t n) const { return n % static_cast<std::int64_t>(hn::Lanes(F32())) == 0; }
  void pack(std::int64_t k, std::int64_t k_end, std::int64_t n, std::int64_t n_end, std::int64_t columns,
            float* out) const {
    const F32 d;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    for (; k < k_end; ++k, out += columns) {
      const float* from = data + k * stride + n;
      if (n_end - n == columns) {
        for (std::int64_t j = 0; j < columns; j += lanes) {
          __builtin_prefetch(from + j + prefetch_rows * stride);
          hn::Store(hn::LoadU(d, from + j), d, out + j);
        }
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
  static constexpr bool by_rows = false;
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
