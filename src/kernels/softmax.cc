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

void softmax_rows(const float* x, std::int64_t rows, std::int64_t n, float* y) {
  const F32 d;
  for (std::int64_t r = 0; r < rows; ++r, x += n, y += n) {
    const double total = row_exp_sum<true>(x, n, row_max(x, n), y);
    const VF32 scale = hn::Set(d, static_cast<float>(1 / total));
    for_lanes(n, [&](std::int64_t i, auto lanes) { lanes.store(hn::Mul(lanes.load(y + i), scale), y + i); });
  }
}

void softmax_grad_rows(const float* y, const float* dy, std::int64_t rows, std::int64_t n, float* dx, bool accumulate) {
  const F32 d;
  for (std::int64_t r = 0; r < rows; ++r, y += n, dy += n, dx += n) {
    const VF32 dot = hn::Set(d, static_cast<float>(row_dot(y, dy, n)));
    for_lanes(n, [&](std::int64_t i, auto lanes) {
      const VF32 centred = hn::Sub(lanes.load(dy + i), dot);
      store_or_add(lanes, hn::Mul(lanes.load(y + i), centred), dx + i, accumulate);
    });
  }
}

void log_softmax_rows(const float* x, std::int64_t rows, std::int64_t n, float* y) {
  const F32 d;
  for (std::int64_t r = 0; r < rows; ++r, x += n, y += n) {
    const VF32 logsumexp = hn::Set(d, row_logsumexp(x, n));
    for_lanes(n, [&](std::int64_t i, auto lanes) { lanes.store(hn::Sub(lanes.load(x + i), logsumexp), y + i); });
  }
}

void log_softmax_grad_rows(const float* y, const float* dy, std::int64_t rows, std::int64_t n, float* dx,
                           bool accumulate) {
  const F32 d;
  for (std::int64_t r = 0; r < rows; ++r, y += n, dy += n, dx += n) {
    const VF32 total = hn::Set(d, static_cast<float>(row_sum(dy, n)));
    for_lanes(n, [&](std::int64_t i, auto lanes) {
      const VF32 p = exp(d, lanes.load(y + i));
      store_or_add(lanes, hn::NegMulAdd(p, total, lanes.load(dy + i)), dx + i, accumulate);
    });
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
    HWY_DYNAMIC_DISPATCH(softmax_rows)(x + first * n, count, n, y + first * n);
  });
}

void softmax_backward_f32(const float* y, const float* dy, std::int64_t rows, std::int64_t n, float* dx,
                          bool accumulate) {
  for_row_blocks(rows, n, [&](std::int64_t first, std::int64_t count) {
    const std::int64_t at = first * n;
    HWY_DYNAMIC_DISPATCH(softmax_grad_rows)
    (y + at, dy + at, count, n, dx + at, accumulate);
  });
}

void log_softmax_forward_f32(const float* x, std::int64_t rows, std::int64_t n, float* y) {
  for_row_blocks(rows, n, [&](std::int64_t first, std::int64_t count) {
    HWY_DYNAMIC_DISPATCH(log_softmax_rows)(x + first * n, count, n, y + first * n);
  });
}

void log_softmax_backward_f32(const float* y, const float* dy, std::int64_t rows, std::int64_t n, float* dx,
                              bool accumulate) {
  for_row_blocks(rows, n, [&](std::int64_t first, std::int64_t count) {
    const std::int64_t at = first * n;
    HWY_DYNAMIC_DISPATCH(log_softmax_grad_rows)
    (y + at, dy + at, count, n, dx + at, accumulate);
  });
}

}  // namespace fovea::kernels
#endif
