// Softmax cross entropy, of class targets and of target probabilities.
#pragma once

#include <cstdint>
#include <type_traits>

#include "fovea/autograd/saved.h"
#include "fovea/autograd/var.h"
#include "fovea/kernels/cross_entropy.h"
#include "fovea/kernels/cross_entropy_reference.h"
#include "fovea/ops/reduction.h"

namespace fovea::ops {

struct CrossEntropyOptions {
  std::int64_t ignore_index = -100;  // class targets of this value leave their row out
  double label_smoothing = 0;        // share of each target spread over all classes (Szegedy et al. 2016, section 7)
  Tensor row_weights{};              // (R) f32 or f64, constant; undefined: all 1
  Reduction reduction = Reduction::mean;
};

namespace detail {

inline void check_cross_entropy(const Shape& logits, const CrossEntropyOptions& options, const char* where) {
  FOVEA_CHECK(logits.rank() == 2 && (logits[1] > 0 || logits[0] == 0), "[", where, "] logits are ", logits,
              ", expected (R, V) with at least one class");
  FOVEA_CHECK(options.label_smoothing >= 0 && options.label_smoothing <= 1, "[", where, "] label smoothing is ",
              options.label_smoothing, ", expected 0 to 1");
  FOVEA_CHECK(!options.row_weights.defined() || options.row_weights.shape() == Shape{logits[0]}, "[", where,
              "] row weights are ", options.row_weights.shape(), ", expected (", logits[0], ",)");
}

// The targets as i64 with -1 where a row is ignored. Throws Error when one is not a class.
inline Tensor class_targets(const Tensor& targets, std::int64_t rows, std::int64_t classes, std::int64_t ignore_index) {
  FOVEA_CHECK(targets.shape() == Shape{rows}, "[cross_entropy] targets are ", targets.shape(), ", logits have ", rows,
              " rows");
  FOVEA_CHECK(targets.dtype() == DType::i32 || targets.dtype() == DType::i64, "[cross_entropy] targets are ",
              to_string(targets.dtype()), ", expected i32 or i64\nhint: cross_entropy_soft takes probabilities");
  Tensor out = targets.to(DType::i64).clone();
  auto* t = out.mutable_data<std::int64_t>();
  for (std::int64_t r = 0; r < rows; ++r) {
    if (t[r] == ignore_index) {
      t[r] = -1;
      continue;
    }
    FOVEA_CHECK(t[r] >= 0 && t[r] < classes, "[cross_entropy] target of row ", r, " is ", t[r], ", logits have ",
                classes, " classes\nhint: rows to leave out have the target ", ignore_index);
  }
  return out;
}

// What the loss of each row counts for in the result: its weight, over the sum of weights for a mean. 0 when ignored
// (`targets` negative; undefined: no row is), and everywhere when the weights of a mean add up to 0.
inline Tensor row_factors(const CrossEntropyOptions& options, std::int64_t rows, DType dtype, const Tensor& targets) {
  Tensor factors({rows}, DType::f64);
  double* f = factors.mutable_data<double>();
  double total = 0;
  for (std::int64_t r = 0; r < rows; ++r) {
    const bool ignored = targets.defined() && targets.data<std::int64_t>()[r] < 0;
    f[r] = ignored ? 0 : options.row_weights.defined() ? options.row_weights.at(r) : 1;
    total += f[r];
  }
  const double divisor = options.reduction == Reduction::mean ? total : 1;
  for (std::int64_t r = 0; r < rows; ++r) f[r] = divisor == 0 ? 0 : f[r] / divisor;
  return factors.to(dtype);
}

// The losses (R) times their factors, or the sum of that. A row that counts for nothing gives 0 whatever its loss.
template <class T>
Tensor reduce_losses(const Tensor& losses, const Tensor& factors, Reduction reduction) {
  const std::int64_t rows = losses.numel();
  const T *loss = losses.data<T>(), *factor = factors.data<T>();
  Tensor weighted(losses.shape(), losses.dtype()), total(Shape{}, losses.dtype());
  T* out = weighted.mutable_data<T>();
  double sum = 0;
  for (std::int64_t r = 0; r < rows; ++r) {
    out[r] = factor[r] == 0 ? T(0) : factor[r] * loss[r];
    sum += static_cast<double>(out[r]);
  }
  *total.mutable_data<T>() = static_cast<T>(sum);
  return reduction == Reduction::none ? weighted : total;
}

// The gradient of each row's loss, from that of the reduced ones.
template <class T>
Tensor expand_loss_gradient(const Tensor& dy, const Tensor& factors, Reduction reduction) {
  Tensor out(factors.shape(), factors.dtype());
  for (std::int64_t r = 0; r < factors.numel(); ++r) {
    out.mutable_data<T>()[r] = factors.data<T>()[r] * dy.data<T>()[reduction == Reduction::none ? r : 0];
  }
  return out;
}

template <class T>
kernels::CrossEntropyLogits<T> cross_entropy_logits(const Tensor& logits, double label_smoothing) {
  return {logits.data<T>(), logits.dim(0), logits.dim(1), label_smoothing};
}

}  // namespace detail

// Cross entropy of logits (R, V) with class targets (R), i32 or i64: a scalar, or (R) with Reduction::none. As
// PyTorch's, with a weight per row: the mean is sum(w l) / sum(w) over the rows that are not ignored, and 0 (not NaN)
// when there is none. Keeps the logits and one number a row. Throws Error when shapes do not fit or a target is not a
// class.
inline Var cross_entropy(const Var& logits, const Tensor& targets, const CrossEntropyOptions& options = {}) {
  detail::check_cross_entropy(logits.shape(), options, "cross_entropy");
  const std::int64_t rows = logits.dim(0);
  const double smoothing = options.label_smoothing;
  const Reduction reduction = options.reduction;
  const Tensor classes = detail::class_targets(targets, rows, logits.dim(1), options.ignore_index);
  const Tensor factors = detail::row_factors(options, rows, logits.dtype(), classes);
  Tensor losses({rows}, logits.dtype()), logsumexp({rows}, logits.dtype());
  const Tensor y = dispatch_floating(logits.dtype(), "cross_entropy", [&]<class T>() {
    const auto x = detail::cross_entropy_logits<T>(logits.value(), smoothing);
    const std::int64_t* t = classes.data<std::int64_t>();
    if constexpr (std::is_same_v<T, float>) {
      kernels::cross_entropy_forward_f32(x, t, losses.mutable_data<T>(), logsumexp.mutable_data<T>());
    } else {
      kernels::cross_entropy_forward_reference(x, t, losses.mutable_data<T>(), logsumexp.mutable_data<T>());
    }
    return detail::reduce_losses<T>(losses, factors, reduction);
  });
  return record("cross_entropy", y, {logits}, [=, logits = Saved(logits.value())](const Tensor& dy, Grads& g) {
    if (!g.wants(0)) return;
    const GradSlot slot = g.into(0);
    dispatch_floating(dy.dtype(), "cross_entropy", [&]<class T>() {
      const auto x = detail::cross_entropy_logits<T>(logits, smoothing);
      const Tensor dlosses = detail::expand_loss_gradient<T>(dy, factors, reduction);
      const std::int64_t* t = classes.data<std::int64_t>();
      const T *lse = logsumexp.data<T>(), *grad = dlosses.data<T>();
      if constexpr (std::is_same_v<T, float>) {
        kernels::cross_entropy_backward_f32(x, t, lse, grad, slot.data<T>(), slot.accumulate);
      } else {
        kernels::cross_entropy_backward_reference(x, t, lse, grad, slot.data<T>(), slot.accumulate);
      }
    });
  });
}

// Cross entropy of logits (R, V) with target probabilities (R, V), through which gradients flow where they are asked
// for: a scalar, or (R) with Reduction::none. As PyTorch's, with a weight per row; ignore_index has no meaning here.
// Throws Error when shapes or types do not fit.
inline Var cross_entropy_soft(const Var& logits, const Var& targets, const CrossEntropyOptions& options = {}) {
  detail::check_cross_entropy(logits.shape(), options, "cross_entropy_soft");
  FOVEA_CHECK(targets.shape() == logits.shape() && targets.dtype() == logits.dtype(),
              "[cross_entropy_soft] targets are ", to_string(targets.dtype()), " ", targets.shape(), ", logits ",
              to_string(logits.dtype()), " ", logits.shape());
  const std::int64_t rows = logits.dim(0);
  const double smoothing = options.label_smoothing;
  const Reduction reduction = options.reduction;
  const Tensor factors = detail::row_factors(options, rows, logits.dtype(), {});
  Tensor losses({rows}, logits.dtype()), logsumexp({rows}, logits.dtype());
  const Tensor y = dispatch_floating(logits.dtype(), "cross_entropy_soft", [&]<class T>() {
    const auto x = detail::cross_entropy_logits<T>(logits.value(), smoothing);
    const T* p = targets.value().data<T>();
    if constexpr (std::is_same_v<T, float>) {
      kernels::cross_entropy_soft_forward_f32(x, p, losses.mutable_data<T>(), logsumexp.mutable_data<T>());
    } else {
      kernels::cross_entropy_soft_forward_reference(x, p, losses.mutable_data<T>(), logsumexp.mutable_data<T>());
    }
    return detail::reduce_losses<T>(losses, factors, reduction);
  });
  return record(
      "cross_entropy_soft", y, {logits, targets},
      [=, logits = Saved(logits.value()), targets = Saved(targets.value())](const Tensor& dy, Grads& g) {
        dispatch_floating(dy.dtype(), "cross_entropy_soft", [&]<class T>() {
          const auto x = detail::cross_entropy_logits<T>(logits, smoothing);
          const Tensor dlosses = detail::expand_loss_gradient<T>(dy, factors, reduction);
          const T *lse = logsumexp.data<T>(), *grad = dlosses.data<T>();
          if (g.wants(0)) {
            const GradSlot slot = g.into(0);
            const T* p = targets->data<T>();
            if constexpr (std::is_same_v<T, float>) {
              kernels::cross_entropy_soft_backward_f32(x, p, lse, grad, slot.data<T>(), slot.accumulate);
            } else {
              kernels::cross_entropy_soft_backward_reference(x, p, lse, grad, slot.data<T>(), slot.accumulate);
            }
          }
          if (g.wants(1)) {
            const GradSlot slot = g.into(1);
            if constexpr (std::is_same_v<T, float>) {
              kernels::cross_entropy_soft_backward_targets_f32(x, lse, grad, slot.data<T>(), slot.accumulate);
            } else {
              kernels::cross_entropy_soft_backward_targets_reference(x, lse, grad, slot.data<T>(), slot.accumulate);
            }
          }
        });
      });
}

}  // namespace fovea::ops
