// Tables of vectors.
#pragma once

#include "fovea/autograd/saved.h"
#include "fovea/autograd/var.h"
#include "fovea/core/profile.h"
#include "fovea/kernels/rows.h"
#include "fovea/kernels/rows_reference.h"
#include "fovea/ops/detail/grad_target.h"

namespace fovea::ops {

namespace detail {

// dy with zeros in place of the rows that were read at number `row`; dy itself where there are none.
inline Tensor without_row(const Tensor& dy, const Tensor& rows, std::int64_t row) {
  Tensor left = dy;
  const std::int64_t count = rows.numel();
  const auto* number = rows.data<std::int64_t>();
  for (std::int64_t i = 0; i < count; ++i) {
    if (number[i] != row) continue;
    if (left.raw() == dy.raw()) left = dy.clone().reshape({count, dy.numel() / count});
    left.rows(i, i + 1).fill(0);
  }
  return left;
}

// Rows of `table` (V, D) by number, as a tensor of shape `out`. `rows` is i64 and in range. The row `fixed` takes no
// gradient.
inline Var take_rows(const char* name, const Var& table, const Tensor& rows, const Shape& out,
                     std::int64_t fixed = -1) {
  const std::int64_t table_rows = table.dim(0), width = table.dim(1), count = rows.numel();
  Tensor y(out, table.dtype());
  profile::count(0, 2 * static_cast<double>(y.bytes()));  // not the whole table
  kernels::gather_rows(table.value().raw(), rows.data<std::int64_t>(), count, width * size_of(table.dtype()),
                       y.mutable_raw());
  return record(name, y, {table}, [=, rows = Saved(rows)](const Tensor& all, Grads& g) {
    const Tensor dy = without_row(all, *rows, fixed);
    dispatch_floating(dy.dtype(), name, [&]<class T>() {
      const kernels::GradTarget<T> dtable = grad_target<T>(g, 0);
      const auto* row = rows->data<std::int64_t>();
      if constexpr (std::is_same_v<T, float>) {
        kernels::scatter_add_rows_f32(dy.data<T>(), row, count, width, table_rows, dtable);
      } else {
        kernels::scatter_add_rows_reference(dy.data<T>(), row, count, width, table_rows, dtable);
      }
    });
  });
}

}  // namespace detail

// The vectors of `ids`: table (V, D), ids of any shape, i32 or i64 -> ids.shape + (D). Equal ids add up in backward, in
// their order; those equal to `padding` add nothing (padding_idx of PyTorch). Keeps the ids. Throws Error naming the
// position of an id outside 0 ... V-1.
inline Var embedding(const Var& table, const Tensor& ids, std::int64_t padding = -1) {
  FOVEA_CHECK(table.rank() == 2, "[embedding] table is ", table.shape(), ", expected (V, D)");
  FOVEA_CHECK(ids.dtype() == DType::i32 || ids.dtype() == DType::i64, "[embedding] ids are ", to_string(ids.dtype()),
              ", expected i32 or i64");
  const Tensor wide = ids.to(DType::i64);
  const auto* id = wide.data<std::int64_t>();
  const std::int64_t entries = table.dim(0);
  for (std::int64_t i = 0; i < wide.numel(); ++i) {
    FOVEA_CHECK(id[i] >= 0 && id[i] < entries, "[embedding] id ", id[i], " at position ", i, " of ", ids.shape(),
                " is outside the table of ", entries, " entries\nhint: the tokenizer's vocabulary is not the model's");
  }
  Shape out = ids.shape();
  out.push_back(table.dim(1));
  return detail::take_rows("embedding", table, wide, out, padding);
}

}  // namespace fovea::ops
