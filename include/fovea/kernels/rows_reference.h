// Rows by number and over runs, plainly: the definition of the kernels, and the f64 path.
#pragma once

#include "fovea/kernels/rows.h"

namespace fovea::kernels {

template <class T>
void scatter_add_rows_reference(const T* dy, const std::int64_t* rows, std::int64_t count, std::int64_t width,
                                std::int64_t table_rows, const GradTarget<T>& dtable) {
  for (std::int64_t i = 0; !dtable.accumulate && i < table_rows * width; ++i) dtable.data[i] = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    for (std::int64_t j = 0; j < width; ++j) dtable.data[rows[i] * width + j] += dy[i * width + j];
  }
}

template <class T>
void segment_mean_reference(const T* x, const std::int64_t* offsets, std::int64_t segments, std::int64_t width, T* y) {
  for (std::int64_t b = 0; b < segments; ++b) {
    const auto length = static_cast<T>(offsets[b + 1] - offsets[b]);
    for (std::int64_t j = 0; j < width; ++j) {
      T total = 0;
      for (std::int64_t t = offsets[b]; t < offsets[b + 1]; ++t) total += x[t * width + j];
      y[b * width + j] = length > 0 ? total / length : T(0);
    }
  }
}

template <class T>
void scale_segments_reference(const T* x, const std::int64_t* offsets, const T* factors, std::int64_t segments,
                              std::int64_t width, const GradTarget<T>& y) {
  for (std::int64_t b = 0; b < segments; ++b) {
    for (std::int64_t i = offsets[b] * width; i < offsets[b + 1] * width; ++i) y.put(i, factors[b] * x[i]);
  }
}

template <class T>
void spread_to_segments_reference(const T* x, const std::int64_t* offsets, const T* factors, std::int64_t segments,
                                  std::int64_t width, const GradTarget<T>& y) {
  for (std::int64_t b = 0; b < segments; ++b) {
    for (std::int64_t t = offsets[b]; t < offsets[b + 1]; ++t) {
      for (std::int64_t j = 0; j < width; ++j) y.put(t * width + j, factors[b] * x[b * width + j]);
    }
  }
}

}  // namespace fovea::kernels
