// From packed token sequences to one vector each.
#pragma once

#include <vector>

#include "fovea/ops/embedding.h"
#include "fovea/tensor/packed.h"

namespace fovea::ops {

// Rows of x by number: x (T, D), rows (R) i64 -> (R, D). Equal rows add up in backward. Throws Error naming a row
// outside 0 ... T-1.
inline Var gather_rows(const Var& x, const Tensor& rows) {
  FOVEA_CHECK(x.rank() == 2, "[gather_rows] input is ", x.shape(), ", expected (T, D)");
  FOVEA_CHECK(rows.rank() == 1 && rows.dtype() == DType::i64, "[gather_rows] row numbers are ", to_string(rows.dtype()),
              " ", rows.shape(), ", expected i64 (R,)");
  const auto* row = rows.data<std::int64_t>();
  for (std::int64_t i = 0; i < rows.numel(); ++i) {
    FOVEA_CHECK(row[i] >= 0 && row[i] < x.dim(0), "[gather_rows] row ", row[i], " at position ", i,
                " is outside the input ", x.shape());
  }
  return detail::take_rows("gather_rows", x, rows, {rows.numel(), x.dim(1)});
}

// Mean over the tokens of each sequence: x (T, D) -> (B, D); zero for an empty sequence. Throws Error unless the layout
// has T tokens.
inline Var segment_mean(const Var& x, const PackedLayout& layout) {
  FOVEA_CHECK(x.rank() == 2, "[segment_mean] input is ", x.shape(), ", expected (T, D)");
  layout.check("segment_mean", x.dim(0));
  const std::int64_t segments = layout.sequences(), width = x.dim(1);
  Tensor y({segments, width}, x.dtype());
  dispatch_floating(x.dtype(), "segment_mean", [&]<class T>() {
    const auto* offsets = layout.offsets.data<std::int64_t>();
    if constexpr (std::is_same_v<T, float>) {
      kernels::segment_mean_f32(x.value().data<T>(), offsets, segments, width, y.mutable_data<T>());
    } else {
      kernels::segment_mean_reference(x.value().data<T>(), offsets, segments, width, y.mutable_data<T>());
    }
  });
  return record("segment_mean", y, {x}, [=, offsets = Saved(layout.offsets)](const Tensor& dy, Grads& g) {
    dispatch_floating(dy.dtype(), "segment_mean", [&]<class T>() {
      const auto* offset = offsets->data<std::int64_t>();
      std::vector<T> factors;
      for (std::int64_t b = 0; b < segments; ++b) factors.push_back(1 / static_cast<T>(offset[b + 1] - offset[b]));
      const kernels::GradTarget<T> dx = detail::grad_target<T>(g, 0);
      if constexpr (std::is_same_v<T, float>) {
        kernels::spread_to_segments_f32(dy.data<T>(), offset, factors.data(), segments, width, dx);
      } else {
        kernels::spread_to_segments_reference(dy.data<T>(), offset, factors.data(), segments, width, dx);
      }
    });
  });
}

}  // namespace fovea::ops
