#include "fovea/kernels/cross_entropy.h"

#include <algorithm>

#include "fovea/core/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cross_entropy.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "hwy/highway.h"
#include "kernels/row-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {
namespace {

// The extents of a row as the vector code wants them.
struct CrossEntropyRow {
  std::int64_t classes;
  double smoothing;
  float share;  // of a smoothed target that each class gets

  explicit CrossEntropyRow(const CrossEntropyLogits<float>& x)
      : classes(x.classes),
        smoothing(x.label_smoothing),
        share(static_cast<float>(x.label_smoothing / static_cast<double>(x.classes))) {}
};

// dx (+)= factor (mass softmax(x) - share).
HWY_INLINE void softmax_share_row(const float* x, std::int64_t n, float logsumexp, float mass, float share,
                                  float factor, float* dx, bool accumulate) {
  const F32 d;
  const VF32 shift = hn::Set(d, logsumexp), uniform = hn::Set(d, share * factor), scale = hn::Set(d, mass * factor);
  for_lanes(n, [&](std::int64_t i, auto lanes) {
    const VF32 p = exp(d, hn::Sub(lanes.load(x + i), shift));
    store_or_add(lanes, hn::MulSub(p, scale, uniform), dx + i, accumulate);
  });
}

// sum_j targets_j (logsumexp - x_j): the terms, not their parts, are added, which may be large and cancel.
HWY_INLINE double weighted_surprise(const float* x, const float* targets, std::int64_t n, float logsumexp) {
  const VF32 shift = hn::Set(F32(), logsumexp);
  return sum_blocks(n, [&](std::int64_t i, auto lanes) {
    return hn::Mul(lanes.load(targets + i), hn::Sub(shift, lanes.load(x + i)));
  });
}

// Mean over classes of logsumexp - x_j.
HWY_INLINE double mean_surprise(const float* x, std::int64_t n, float logsumexp) {
  return static_cast<double>(logsumexp) - row_sum(x, n) / static_cast<double>(n);
}

void cross_entropy_rows(const CrossEntropyLogits<float>& x, const std::int64_t* targets, float* losses,
                        float* logsumexp, std::int64_t begin, std::int64_t end) {
  const CrossEntropyRow extents(x);
  for (std::int64_t r = begin; r < end; ++r) {
    logsumexp[r] = losses[r] = 0;
    if (targets[r] < 0) continue;
    const float* row = x.data + r * x.classes;
    logsumexp[r] = row_logsumexp(row, extents.classes);
    double loss = (1 - extents.smoothing) * (static_cast<double>(logsumexp[r]) - static_cast<double>(row[targets[r]]));
    if (extents.smoothing > 0) loss += extents.smoothing * mean_surprise(row, extents.classes, logsumexp[r]);
    losses[r] = static_cast<float>(loss);
  }
}

void cross_entropy_grad_rows(const CrossEntropyLogits<float>& x, const std::int64_t* targets, const float* logsumexp,
                             const float* dlosses, float* dx, bool accumulate, std::int64_t begin, std::int64_t end) {
  const CrossEntropyRow extents(x);
  const auto peak = static_cast<float>(1 - extents.smoothing);
  for (std::int64_t r = begin; r < end; ++r) {
    float* gradient = dx + r * x.classes;
    if (targets[r] >= 0) {
      softmax_share_row(x.data + r * x.classes, extents.classes, logsumexp[r], 1, extents.share, dlosses[r], gradient,
                        accumulate);
      gradient[targets[r]] -= peak * dlosses[r];
    } else if (!accumulate) {
      std::fill(gradient, gradient + x.classes, 0.0f);
    }
  }
}

void cross_entropy_soft_rows(const CrossEntropyLogits<float>& x, const float* targets, float* losses, float* logsumexp,
                             std::int64_t begin, std::int64_t end) {
  const CrossEntropyRow extents(x);
  for (std::int64_t r = begin; r < end; ++r) {
    const float *row = x.data + r * x.classes, *target = targets + r * x.classes;
    logsumexp[r] = row_logsumexp(row, extents.classes);
    double loss = (1 - extents.smoothing) * weighted_surprise(row, target, extents.classes, logsumexp[r]);
    if (extents.smoothing > 0) loss += extents.smoothing * mean_surprise(row, extents.classes, logsumexp[r]);
    losses[r] = static_cast<float>(loss);
  }
}

void cross_entropy_soft_grad_rows(const CrossEntropyLogits<float>& x, const float* targets, const float* logsumexp,
                                  const float* dlosses, float* dx, bool accumulate, std::int64_t begin,
                                  std::int64_t end) {
  const F32 d;
  const CrossEntropyRow extents(x);
  const std::int64_t n = extents.classes;
  for (std::int64_t r = begin; r < end; ++r) {
    const float* target = targets + r * x.classes;
    float* gradient = dx + r * x.classes;
    const double mass = (1 - extents.smoothing) * row_sum(target, n) + extents.smoothing;
    softmax_share_row(x.data + r * x.classes, n, logsumexp[r], static_cast<float>(mass), extents.share, dlosses[r],
                      gradient, accumulate);
    const VF32 factor = hn::Set(d, static_cast<float>(extents.smoothing - 1) * dlosses[r]);
    for_lanes(n, [&](std::int64_t i, auto lanes) {
      store_or_add(lanes, hn::Mul(factor, lanes.load(target + i)), gradient + i, true);
    });
  }
}

void cross_entropy_soft_grad_target_rows(const CrossEntropyLogits<float>& x, const float* logsumexp,
                                         const float* dlosses, float* dtargets, bool accumulate, std::int64_t begin,
                                         std::int64_t end) {
  const F32 d;
  const CrossEntropyRow extents(x);
  const std::int64_t n = extents.classes;
  for (std::int64_t r = begin; r < end; ++r) {
    const float* row = x.data + r * x.classes;
    float* gradient = dtargets + r * x.classes;
    const VF32 factor = hn::Set(d, static_cast<float>(1 - extents.smoothing) * dlosses[r]);
    const VF32 shift = hn::Set(d, logsumexp[r]);
    for_lanes(n, [&](std::int64_t i, auto lanes) {
      const VF32 surprise = hn::Sub(shift, lanes.load(row + i));
      store_or_add(lanes, hn::Mul(factor, surprise), gradient + i, accumulate);
    });
  }
}

}  // namespace
}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::kernels {

HWY_EXPORT(cross_entropy_rows);
HWY_EXPORT(cross_entropy_grad_rows);
HWY_EXPORT(cross_entropy_soft_rows);
HWY_EXPORT(cross_entropy_soft_grad_rows);
HWY_EXPORT(cross_entropy_soft_grad_target_rows);

namespace {

// Rows of about 16 k logits.
std::int64_t row_grain(const CrossEntropyLogits<float>& x) {
  return std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, x.classes));
}

}  // namespace

void cross_entropy_forward_f32(const CrossEntropyLogits<float>& x, const std::int64_t* targets, float* losses,
                               float* logsumexp) {
  parallel_for(x.rows, row_grain(x), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(cross_entropy_rows)(x, targets, losses, logsumexp, begin, end);
  });
}

void cross_entropy_backward_f32(const CrossEntropyLogits<float>& x, const std::int64_t* targets, const float* logsumexp,
                                const float* dlosses, float* dx, bool accumulate) {
  parallel_for(x.rows, row_grain(x), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(cross_entropy_grad_rows)(x, targets, logsumexp, dlosses, dx, accumulate, begin, end);
  });
}

void cross_entropy_soft_forward_f32(const CrossEntropyLogits<float>& x, const float* targets, float* losses,
                                    float* logsumexp) {
  parallel_for(x.rows, row_grain(x), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(cross_entropy_soft_rows)(x, targets, losses, logsumexp, begin, end);
  });
}

void cross_entropy_soft_backward_f32(const CrossEntropyLogits<float>& x, const float* targets, const float* logsumexp,
                                     const float* dlosses, float* dx, bool accumulate) {
  parallel_for(x.rows, row_grain(x), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(cross_entropy_soft_grad_rows)(x, targets, logsumexp, dlosses, dx, accumulate, begin, end);
  });
}

void cross_entropy_soft_backward_targets_f32(const CrossEntropyLogits<float>& x, const float* logsumexp,
                                             const float* dlosses, float* dtargets, bool accumulate) {
  parallel_for(x.rows, row_grain(x), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(cross_entropy_soft_grad_target_rows)(x, logsumexp, dlosses, dtargets, accumulate, begin, end);
  });
}

}  // namespace fovea::kernels
#endif
