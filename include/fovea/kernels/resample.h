// Bicubic resampling along one axis, as a sparse matrix.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "fovea/core/export.h"

namespace fovea::kernels {

// Output o is the sum of weight[k] * input[index[k]] for k in [begin[o], begin[o + 1]).
struct FOVEA_API ResampleAxis {
  std::int64_t inputs = 0;
  std::vector<std::size_t> begin{0};
  std::vector<std::int64_t> index;
  std::vector<double> weight;

  std::int64_t outputs() const { return static_cast<std::int64_t>(begin.size()) - 1; }

  // The weights of PyTorch's interpolate(mode="bicubic"): Keys' cubic convolution (Keys 1981, eq. 4) with a = -0.75 at
  // four inputs, those beyond the edge taken from it; with `antialias` a = -0.5 over a support that widens as the image
  // shrinks, cut at the edge. With `align_corners` the first and last pixels of both images coincide. inputs, outputs
  // >= 1.
  static ResampleAxis bicubic(std::int64_t inputs, std::int64_t outputs, bool antialias, bool align_corners);
};

// y (outer, outputs, inner) = the matrix times x (outer, inputs, inner).
template <class T>
void resample_axis(const ResampleAxis& axis, const T* x, std::int64_t outer, std::int64_t inner, T* y) {
  for (std::int64_t i = 0; i < outer * axis.outputs() * inner; ++i) y[i] = 0;
  for (std::int64_t a = 0; a < outer; ++a) {
    for (std::size_t o = 0; o + 1 < axis.begin.size(); ++o, y += inner) {
      for (std::size_t k = axis.begin[o]; k < axis.begin[o + 1]; ++k) {
        const T* from = x + (a * axis.inputs + axis.index[k]) * inner;
        for (std::int64_t j = 0; j < inner; ++j) y[j] += static_cast<T>(axis.weight[k]) * from[j];
      }
    }
  }
}

// dx (outer, inputs, inner) += the transposed matrix times dy (outer, outputs, inner).
template <class T>
void resample_axis_grad(const ResampleAxis& axis, const T* dy, std::int64_t outer, std::int64_t inner, T* dx) {
  for (std::int64_t a = 0; a < outer; ++a) {
    for (std::size_t o = 0; o + 1 < axis.begin.size(); ++o, dy += inner) {
      for (std::size_t k = axis.begin[o]; k < axis.begin[o + 1]; ++k) {
        T* to = dx + (a * axis.inputs + axis.index[k]) * inner;
        for (std::int64_t j = 0; j < inner; ++j) to[j] += static_cast<T>(axis.weight[k]) * dy[j];
      }
    }
  }
}

}  // namespace fovea::kernels
