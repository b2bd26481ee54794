// Cross entropy one number at a time: the plain form of the kernels, and the f64 path.
#pragma once

#include "fovea/kernels/cross_entropy.h"
#include "fovea/kernels/softmax_reference.h"

namespace fovea::kernels {

template <class T>
void cross_entropy_soft_forward_reference(const CrossEntropyLogits<T>& x, const T* targets, T* losses, T* logsumexp) {
  const T smoothing = static_cast<T>(x.label_smoothing), share = smoothing / static_cast<T>(x.classes);
  for (std::int64_t r = 0; r < x.rows; ++r) {
    const T *row = x.data + r * x.classes, *target = targets + r * x.classes;
    logsumexp[r] = detail::logsumexp_line(row, x.classes, 1);
    losses[r] = 0;
    for (std::int64_t j = 0; j < x.classes; ++j) {
      losses[r] += ((1 - smoothing) * target[j] + share) * (logsumexp[r] - row[j]);
    }
  }
}

template <class T>
void cross_entropy_soft_backward_reference(const CrossEntropyLogits<T>& x, const T* targets, const T* logsumexp,
                                           const T* dlosses, T* dx, bool accumulate) {
  const T smoothing = static_cast<T>(x.label_smoothing), share = smoothing / static_cast<T>(x.classes);
  for (std::int64_t r = 0; r < x.rows; ++r) {
    const T *row = x.data + r * x.classes, *target = targets + r * x.classes;
    T mass = 0;
    for (std::int64_t j = 0; j < x.classes; ++j) mass += (1 - smoothing) * target[j] + share;
    for (std::int64_t j = 0; j < x.classes; ++j) {
      T& slot = dx[r * x.classes + j];
      const T gradient = mass * std::exp(row[j] - logsumexp[r]) - (1 - smoothing) * target[j] - share;
      slot = (accumulate ? slot : T(0)) + dlosses[r] * gradient;
    }
  }
}

template <class T>
void cross_entropy_soft_backward_targets_reference(const CrossEntropyLogits<T>& x, const T* logsumexp, const T* dlosses,
                                                   T* dtargets, bool accumulate) {
  for (std::int64_t r = 0; r < x.rows; ++r) {
    const T factor = dlosses[r] * static_cast<T>(1 - x.label_smoothing);
    for (std::int64_t i = r * x.classes; i < (r + 1) * x.classes; ++i) {
      dtargets[i] = (accumulate ? dtargets[i] : T(0)) + factor * (logsumexp[r] - x.data[i]);
    }
  }
}

template <class T>
void cross_entropy_forward_reference(const CrossEntropyLogits<T>& x, const std::int64_t* targets, T* losses,
                                     T* logsumexp) {
  const T smoothing = static_cast<T>(x.label_smoothing), share = smoothing / static_cast<T>(x.classes);
  for (std::int64_t r = 0; r < x.rows; ++r) {
    const T* row = x.data + r * x.classes;
    logsumexp[r] = losses[r] = 0;
    if (targets[r] < 0) continue;
    logsumexp[r] = detail::logsumexp_line(row, x.classes, 1);
    losses[r] = (1 - smoothing) * (logsumexp[r] - row[targets[r]]);
    if (smoothing == 0) continue;
    for (std::int64_t j = 0; j < x.classes; ++j) losses[r] += share * (logsumexp[r] - row[j]);
  }
}

template <class T>
void cross_entropy_backward_reference(const CrossEntropyLogits<T>& x, const std::int64_t* targets, const T* logsumexp,
                                      const T* dlosses, T* dx, bool accumulate) {
  const T smoothing = static_cast<T>(x.label_smoothing), share = smoothing / static_cast<T>(x.classes);
  for (std::int64_t r = 0; r < x.rows; ++r) {
    for (std::int64_t j = 0; j < x.classes; ++j) {
      const std::int64_t i = r * x.classes + j;
      const T old = accumulate ? dx[i] : T(0), target = (j == targets[r] ? 1 - smoothing : T(0)) + share;
      dx[i] = targets[r] < 0 ? old : old + dlosses[r] * (std::exp(x.data[i] - logsumexp[r]) - target);
    }
  }
}

}  // namespace fovea::kernels
