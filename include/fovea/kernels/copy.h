// Rearranging dense arrays. These move memory and compute nothing, so they are plain code: templates, compiled for f32
// and f64 in the library.
#pragma once

#include <cstdint>

#include "fovea/core/export.h"

namespace fovea::kernels {

// `rows` runs of `length` neighbouring numbers from one place to another.
struct RowCopy {
  std::int64_t rows, length;
  std::int64_t from_step, to_step;  // between the beginnings of rows
};

// to = from, or to += from.
template <class T>
FOVEA_API void copy_rows(const RowCopy& plan, const T* from, T* to, bool accumulate);

// A transpose: the axes of the dense result, outermost first, with the step in the source along each. rank is at
// least 1.
struct Permutation {
  int rank = 1;
  std::int64_t extents[8] = {1}, steps[8] = {1};
};
template <class T>
FOVEA_API void permute(const Permutation& plan, const T* from, T* to, bool accumulate);

// Rows chosen by index along the middle axis: the long side is (outer, extent, inner), the short one (outer, count,
// inner) with one index per row, all in [0, extent).
struct RowSelection {
  std::int64_t outer, extent, inner;
  const std::int64_t* index;
  std::int64_t count;
};

// out (short) = the chosen rows of x (long).
template <class T>
FOVEA_API void gather(const RowSelection& rows, const T* x, T* out, bool accumulate);

// out (long) += the rows of x (short), in the order of the index, so that repeated indices always add up alike.
template <class T>
FOVEA_API void scatter_add(const RowSelection& rows, const T* x, T* out);

}  // namespace fovea::kernels
