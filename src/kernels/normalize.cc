#include "fovea/kernels/normalize.h"

#include <algorithm>
#include <cmath>

#include "fovea/core/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/normalize.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/row-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {

// Of `rows` rows, as the functions below.
void normalize_rows(const float* x, std::int64_t rows, std::int64_t width, float eps, float* y, float* norm) {
  for (std::int64_t r = 0; r < rows; ++r, x += width, y += width) {
    norm[r] = std::sqrt(sum_lanes(width, [&](std::int64_t i, auto lanes) {
      const VF32 v = lanes.load(x + i);
      return hn::Mul(v, v);
    }));
    const VF32 divisor = hn::Set(F32(), std::max(norm[r], eps));
    for_lanes(width, [&](std::int64_t i, auto lanes) { lanes.store(hn::Div(lanes.load(x + i), divisor), y + i); });
  }
}

void normalize_grad_rows(const float* y, const float* norm, const float* dy, std::int64_t rows, std::int64_t width,
                         float eps, const GradTarget<float>& dx) {
  const F32 d;
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::int64_t row = r * width;
    const bool clamped = norm[r] < eps;
    const float dot = sum_lanes(
        width, [&](std::int64_t i, auto lanes) { return hn::Mul(lanes.load(dy + row + i), lanes.load(y + row + i)); });
    const VF32 along = hn::Set(d, clamped ? 0.0f : dot), divisor = hn::Set(d, clamped ? eps : norm[r]);
    for_lanes(width, [&](std::int64_t i, auto lanes) {
      const VF32 across = hn::NegMulAdd(lanes.load(y + row + i), along, lanes.load(dy + row + i));
      store_or_add(lanes, hn::Div(across, divisor), dx.data + row + i, dx.accumulate);
    });
  }
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::kernels {

HWY_EXPORT(normalize_rows);
HWY_EXPORT(normalize_grad_rows);

namespace {

constexpr std::int64_t rows_per_chunk = 32;

}  // namespace

void l2_normalize_f32(const float* x, std::int64_t rows, std::int64_t width, double eps, float* y, float* norm) {
  parallel_for(rows, rows_per_chunk, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(normalize_rows)
    (x + begin * width, end - begin, width, static_cast<float>(eps), y + begin * width, norm + begin);
  });
}

void l2_normalize_grad_f32(const float* y, const float* norm, const float* dy, std::int64_t rows, std::int64_t width,
                           double eps, const GradTarget<float>& dx) {
  parallel_for(rows, rows_per_chunk, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t first = begin * width;
    HWY_DYNAMIC_DISPATCH(normalize_grad_rows)
    (y + first, norm + begin, dy + first, end - begin, width, static_cast<float>(eps),
     GradTarget<float>{dx.data + first, dx.accumulate});
  });
}

}  // namespace fovea::kernels
#endif
