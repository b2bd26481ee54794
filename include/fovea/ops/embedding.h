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

// Rows of `table` (V, D) by number, as a tensor of shape `out`. `rows` is i64 and in range.
inline Var take_rows(const char* name, const Var& table, const Tensor& rows, const Shape& out) {
  const std::int64_t table_rows = table.dim(0), width = table.dim(1), count = rows.numel();
  Tensor y(out, table.dtype());
  profile::count(0, 2 * static_cast<double>(y.bytes()));  // not the whole table
  kernels::gather_rows(table.value().raw(), rows.data<std::int64_t>(), count, width * size_of(table.dtype()),
                       y.mutable_raw());
  return record(name, y, {table}, [=, rows = Saved(rows)](const Tensor& dy, Grads& g) {
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
// their order. Keeps the ids. Throws Error naming the position of an id outside 0 ... V-1.
inline Var embedding(const Var& table, const Tensor& ids) {
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
  return detail::take_rows("embedding", table, wide, out);
}

}  // namespace fovea::ops
