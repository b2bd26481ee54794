#include "fovea/kernels/copy.h"

#include <algorithm>
#include <cstring>

#include "fovea/core/parallel.h"

namespace fovea::kernels {
namespace {

constexpr std::int64_t grain = 1 << 14;  // numbers of one chunk
constexpr std::int64_t tile = 32;        // side of a transposed block; two of them fit the first-level cache

std::int64_t rows_per_chunk(std::int64_t length) {
  return std::max<std::int64_t>(1, grain / std::max<std::int64_t>(1, length));
}

template <class T>
void put_row(const T* from, std::int64_t length, T* to, bool accumulate) {
  if (accumulate) {
    for (std::int64_t i = 0; i < length; ++i) to[i] += from[i];
  } else if (length > 0) {
    std::memcpy(to, from, static_cast<std::size_t>(length) * sizeof(T));
  }
}

// Where the i-th combination of some axes begins, with these steps along them.
std::int64_t offset_of(std::int64_t i, int axes, const std::int64_t* extents, const std::int64_t* steps) {
  std::int64_t offset = 0;
  for (int a = axes - 1; a >= 0; --a) {
    offset += i % extents[a] * steps[a];
    i /= extents[a];
  }
  return offset;
}

// `rows` of the result, each along the axis that is contiguous in the source, against its last axis, `step` in the
// source. Goes through a block of its own: both memories are then touched in whole cache lines, once.
template <class T>
void transpose_tile(const T* from, std::int64_t step, T* to, std::int64_t to_step, std::int64_t rows, std::int64_t cols,
                    bool accumulate) {
  T block[tile * tile];
  for (std::int64_t j = 0; j < cols; ++j) {
    for (std::int64_t i = 0; i < rows; ++i) block[i * tile + j] = from[i + j * step];
  }
  for (std::int64_t i = 0; i < rows; ++i) put_row(block + i * tile, cols, to + i * to_step, accumulate);
}

// The axis `along` of the result is contiguous in the source, and the last one is not: square blocks of the two, for
// every combination of the other axes.
template <class T>
void permute_tiles(const Permutation& plan, int along, const T* from, T* to, bool accumulate) {
  const int last = plan.rank - 1;
  std::int64_t to_steps[8], dense = 1;
  for (int a = last; a >= 0; dense *= plan.extents[a--]) to_steps[a] = dense;
  int others = 0;
  std::int64_t extents[8] = {1}, other_from[8] = {1}, other_to[8] = {1}, planes = 1;
  for (int a = 0; a < last; ++a) {
    if (a == along) continue;
    extents[others] = plan.extents[a], other_from[others] = plan.steps[a], other_to[others++] = to_steps[a];
    planes *= plan.extents[a];
  }

  const std::int64_t rows = plan.extents[along], cols = plan.extents[last], step = plan.steps[last];
  const std::int64_t strips = chunk_count(rows, tile);
  parallel_for(planes * strips, rows_per_chunk(tile * cols), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t plane = task / strips, i = task % strips * tile;
      const T* source = from + offset_of(plane, others, extents, other_from) + i;
      T* target = to + offset_of(plane, others, extents, other_to) + i * to_steps[along];
      for (std::int64_t j = 0; j < cols; j += tile) {
        transpose_tile(source + j * step, step, target + j, to_steps[along], std::min(tile, rows - i),
                       std::min(tile, cols - j), accumulate);
      }
    }
  });
}

template <class T>
void permute_rows(const Permutation& plan, const T* from, T* to, bool accumulate) {
  const int last = plan.rank - 1;
  const std::int64_t length = plan.extents[last];
  std::int64_t rows = 1;
  for (int a = 0; a < last; ++a) rows *= plan.extents[a];
  parallel_for(rows, rows_per_chunk(length), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      put_row(from + offset_of(r, last, plan.extents, plan.steps), length, to + r * length, accumulate);
    }
  });
}

}  // namespace

template <class T>
void copy_rows(const RowCopy& plan, const T* from, T* to, bool accumulate) {
  parallel_for(plan.rows, rows_per_chunk(plan.length), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      put_row(from + r * plan.from_step, plan.length, to + r * plan.to_step, accumulate);
    }
  });
}

template <class T>
void permute(const Permutation& plan, const T* from, T* to, bool accumulate) {
  const int along = static_cast<int>(std::find(plan.steps, plan.steps + plan.rank, 1) - plan.steps);
  if (along == plan.rank - 1) {
    permute_rows(plan, from, to, accumulate);
  } else {
    permute_tiles(plan, along, from, to, accumulate);
  }
}

template <class T>
void gather(const RowSelection& rows, const T* x, T* out, bool accumulate) {
  parallel_for(rows.outer * rows.count, rows_per_chunk(rows.inner), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      const std::int64_t source = r / rows.count * rows.extent + rows.index[r % rows.count];
      put_row(x + source * rows.inner, rows.inner, out + r * rows.inner, accumulate);
    }
  });
}

// Threads share out the outer axis and stretches of the inner one, never the index.
template <class T>
void scatter_add(const RowSelection& rows, const T* x, T* out) {
  constexpr std::int64_t stretch = 256;
  const std::int64_t stretches = chunk_count(rows.inner, stretch);
  const std::int64_t task = rows.count * std::min(rows.inner, stretch);
  parallel_for(rows.outer * stretches, rows_per_chunk(task), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      const std::int64_t o = t / stretches, j = t % stretches * stretch, length = std::min(stretch, rows.inner - j);
      for (std::int64_t i = 0; i < rows.count; ++i) {
        put_row(x + (o * rows.count + i) * rows.inner + j, length,
                out + (o * rows.extent + rows.index[i]) * rows.inner + j, true);
      }
    }
  });
}

template void copy_rows<float>(const RowCopy&, const float*, float*, bool);
template void permute<float>(const Permutation&, const float*, float*, bool);
template void gather<float>(const RowSelection&, const float*, float*, bool);
template void scatter_add<float>(const RowSelection&, const float*, float*);
template void copy_rows<double>(const RowCopy&, const double*, double*, bool);
template void permute<double>(const Permutation&, const double*, double*, bool);
template void gather<double>(const RowSelection&, const double*, double*, bool);
template void scatter_add<double>(const RowSelection&, const double*, double*);

}  // namespace fovea::kernels
