// Matrix product, batched.
#pragma once

#include "fovea/autograd/var.h"
#include "fovea/core/parallel.h"
#include "fovea/ops/detail/grad_target.h"
#include "fovea/ops/detail/product.h"
#include "fovea/ops/detail/saved_for.h"

namespace fovea::ops {

namespace detail {

// One operand of a batched product.
struct Factor {
  std::int64_t rows, columns, step;  // of the stored matrix; elements from one to the next, 0 when it is shared
  bool transposed;

  template <class T>
  kernels::MatrixView<T> at(const T* data, std::int64_t i, bool flipped = false) const {
    return {data + i * step, columns, transposed != flipped};
  }
};

// out_i (m, n) = a_i b_i for each i of the batch. A shared result collects the sum over the batch.
template <class T, class A, class B>
void batched_gemm(std::int64_t batch, std::int64_t m, std::int64_t n, std::int64_t k, A&& a, B&& b, T* out,
                  std::int64_t step, bool accumulate) {
  if (step == 0) {
    for (std::int64_t i = 0; batch == 0 && !accumulate && i < m * n; ++i) out[i] = 0;
    for (std::int64_t i = 0; i < batch; ++i) gemm<T>(m, n, k, a(i), b(i), out, {.accumulate = accumulate || i > 0});
  } else if (batch == 1) {
    gemm<T>(m, n, k, a(0), b(0), out, {.accumulate = accumulate});
  } else {
    parallel_for(batch, 1, [&](std::int64_t i, std::int64_t end) {
      for (; i < end; ++i) gemm<T>(m, n, k, a(i), b(i), out + i * step, {.accumulate = accumulate});
    });
  }
}

}  // namespace detail

// op(a) op(b), where op transposes the last two axes if asked: (..., M, K) and (..., K, N) -> (..., M, N). The leading
// axes agree, or one operand is a single matrix used for the whole batch. Throws Error when shapes or types do not fit.
inline Var matmul(const Var& a, const Var& b, bool transpose_a = false, bool transpose_b = false) {
  const auto check = [&](bool fits) {
    FOVEA_CHECK(fits, "[matmul] shapes ", a.shape(), transpose_a ? " transposed" : "", " and ", b.shape(),
                transpose_b ? " transposed" : "", " do not fit\nhint: expected (..., M, K) and (..., K, N)");
  };
  check(a.rank() >= 2 && b.rank() >= 2);
  FOVEA_CHECK(a.dtype() == b.dtype(), "[matmul] operands are ", to_string(a.dtype()), " and ", to_string(b.dtype()));
  const Var& leading = a.rank() > 2 ? a : b;
  Shape shape;
  for (int i = 0; i < leading.rank() - 2; ++i) shape.push_back(leading.dim(i));
  const std::int64_t batch = shape.numel();
  check(a.rank() == 2 || b.rank() == 2 || (a.rank() == b.rank() && a.shape().outer(-2) == b.shape().outer(-2)));
  for (int i = 0; i < leading.rank() - 2; ++i) check(b.rank() == 2 || b.dim(i) == shape[i]);

  const detail::Factor fa{a.dim(-2), a.dim(-1), a.rank() > 2 ? a.dim(-2) * a.dim(-1) : 0, transpose_a};
  const detail::Factor fb{b.dim(-2), b.dim(-1), b.rank() > 2 ? b.dim(-2) * b.dim(-1) : 0, transpose_b};
  const std::int64_t m = transpose_a ? fa.columns : fa.rows, k = transpose_a ? fa.rows : fa.columns;
  const std::int64_t n = transpose_b ? fb.rows : fb.columns;
  check(k == (transpose_b ? fb.columns : fb.rows));
  shape.push_back(m);
  shape.push_back(n);

  const bool single = a.rank() == 2 && b.rank() == 2;
  const std::int64_t step = single ? 0 : m * n;
  Tensor y(shape, a.dtype());
  dispatch_floating(a.dtype(), "matmul", [&]<class T>() {
    const T *pa = a.value().data<T>(), *pb = b.value().data<T>();
    detail::batched_gemm<T>(
        batch, m, n, k, [&](std::int64_t i) { return fa.at(pa, i); }, [&](std::int64_t i) { return fb.at(pb, i); },
        y.mutable_data<T>(), step, false);
  });
  return record(
      "matmul", y, {a, b}, [=, a = detail::saved_for(b, a), b = detail::saved_for(a, b)](const Tensor& dy, Grads& g) {
        const Tensor left = a.restore(), right = b.restore();
        dispatch_floating(dy.dtype(), "matmul", [&]<class T>() {
          const detail::Factor fy{m, n, step, false};
          const auto y_at = [&](bool flipped) {
            return [&fy, flipped, data = dy.data<T>()](std::int64_t i) { return fy.at(data, i, flipped); };
          };
          const auto a_at = [&](bool flipped) {
            return [&fa, flipped, data = detail::data_or_null<T>(left)](std::int64_t i) {
              return fa.at(data, i, flipped);
            };
          };
          const auto b_at = [&](bool flipped) {
            return [&fb, flipped, data = detail::data_or_null<T>(right)](std::int64_t i) {
              return fb.at(data, i, flipped);
            };
          };
          if (g.wants(0)) {
            const GradSlot da = g.into(0);
            if (fa.transposed) {
              detail::batched_gemm<T>(batch, k, m, n, b_at(false), y_at(true), da.data<T>(), fa.step, da.accumulate);
            } else {
              detail::batched_gemm<T>(batch, m, k, n, y_at(false), b_at(true), da.data<T>(), fa.step, da.accumulate);
            }
          }
          if (g.wants(1)) {
            const GradSlot db = g.into(1);
            if (fb.transposed) {
              detail::batched_gemm<T>(batch, n, k, m, y_at(true), a_at(false), db.data<T>(), fb.step, db.accumulate);
            } else {
              detail::batched_gemm<T>(batch, k, n, m, a_at(true), y_at(false), db.data<T>(), fb.step, db.accumulate);
            }
          }
        });
      });
}

}  // namespace fovea::ops
