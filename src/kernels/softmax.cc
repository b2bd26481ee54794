#include "fovea/kernels/softmax.h"

#include <algorithm>

#include "fovea/core/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/softmax.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "hwy/highway.h"
#include "kernels/row-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {
namespace {

void softmax_rows(const float* x, std::int64_t rows, std::size_t n, float* y) {
  const RowTag d;
  for (std::int64_t r = 0; r < rows; ++r, x += n, y += n) {
    const double total = row_exp_sum<true>(x, n, row_max(x, n), y);
    const RowVec scale = hn::Set(d, static_cast<float>(1 / total));
    for (std::size_t i = 0; i < n; i += hn::Lanes(d)) {
      store_first(hn::Mul(load_first(d, y + i, n - i, 0), scale), d, y + i, n - i);
    }
  }
}

void softmax_grad_rows(const float* y, const float* dy, std::int64_t rows, std::size_t n, float* dx, bool accumulate) {
  const RowTag d;
  for (std::int64_t r = 0; r < rows; ++r, y += n, dy += n, dx += n) {
    const RowVec dot = hn::Set(d, static_cast<float>(row_dot(y, dy, n)));
    for (std::size_t i = 0; i < n; i += hn::Lanes(d)) {
      const RowVec centred = hn::Sub(load_first(d, dy + i, n - i, 0), dot);
      put_first(hn::Mul(load_first(d, y + i, n - i, 0), centred), d, dx + i, n - i, accumulate);
    }
  }
}

void log_softmax_rows(const float* x, std::int64_t rows, std::size_t n, float* y) {
  const RowTag d;
  for (std::int64_t r = 0; r < rows; ++r, x += n, y += n) {
    const RowVec logsumexp = hn::Set(d, row_logsumexp(x, n));
    for (std::size_t i = 0; i < n; i += hn::Lanes(d)) {
      store_first(hn::Sub(load_first(d, x + i, n - i, 0), logsumexp), d, y + i, n - i);
    }
  }
}

void log_softmax_grad_rows(const float* y, const float* dy, std::int64_t rows, std::size_t n, float* dx,
                           bool accumulate) {
  const RowTag d;
  for (std::int64_t r = 0; r < rows; ++r, y += n, dy += n, dx += n) {
    const RowVec total = hn::Set(d, static_cast<float>(row_sum(dy, n)));
    for (std::size_t i = 0; i < n; i += hn::Lanes(d)) {
      const RowVec p = exp_keeping_nan(d, load_first(d, y + i, n - i, 0));
      put_first(hn::NegMulAdd(p, total, load_first(d, dy + i, n - i, 0)), d, dx + i, n - i, accumulate);
    }
  }
}

}  // namespace
}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::kernels {

HWY_EXPORT(softmax_rows);
HWY_EXPORT(softmax_grad_rows);
HWY_EXPORT(log_softmax_rows);
HWY_EXPORT(log_softmax_grad_rows);

namespace {

// Calls body(first row, rows) for blocks of about 16 k elements.
template <class F>
void for_row_blocks(std::int64_t rows, std::int64_t n, F&& body) {
  if (n == 0) return;
  parallel_for(rows, std::max<std::int64_t>(1, 16384 / n),
               [&](std::int64_t begin, std::int64_t end) { body(begin, end - begin); });
}

}  // namespace

void softmax_forward_f32(const float* x, std::int64_t rows, std::int64_t n, float* y) {
  for_row_blocks(rows, n, [&](std::int64_t first, std::int64_t count) {
    HWY_DYNAMIC_DISPATCH(softmax_rows)(x + first * n, count, static_cast<std::size_t>(n), y + first * n);
  });
}

void softmax_backward_f32(const float* y, const float* dy, std::int64_t rows, std::int64_t n, float* dx,
                          bool accumulate) {
  for_row_blocks(rows, n, [&](std::int64_t first, std::int64_t count) {
    const std::int64_t at = first * n;
    HWY_DYNAMIC_DISPATCH(softmax_grad_rows)
    (y + at, dy + at, count, static_cast<std::size_t>(n), dx + at, accumulate);
  });
}

void log_softmax_forward_f32(const float* x, std::int64_t rows, std::int64_t n, float* y) {
  for_row_blocks(rows, n, [&](std::int64_t first, std::int64_t count) {
    HWY_DYNAMIC_DISPATCH(log_softmax_rows)(x + first * n, count, static_cast<std::size_t>(n), y + first * n);
  });
}

void log_softmax_backward_f32(const float* y, const float* dy, std::int64_t rows, std::int64_t n, float* dx,
                              bool accumulate) {
  for_row_blocks(rows, n, [&](std::int64_t first, std::int64_t count) {
    const std::int64_t at = first * n;
    HWY_DYNAMIC_DISPATCH(log_softmax_grad_rows)
    (y + at, dy + at, count, static_cast<std::size_t>(n), dx + at, accumulate);
  });
}

}  // namespace fovea::kernels
#endif
