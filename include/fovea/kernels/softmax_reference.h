// Softmax one number at a time, along any axis: the plain form of the kernels, and the f64 path.
#pragma once

#include <cmath>
#include <cstdint>

namespace fovea::kernels {

// The arrays are (outer, n, inner), and every line along n is normalised.
struct SoftmaxLines {
  std::int64_t outer, n, inner;
};

namespace detail {

// Calls f(first element) for every line; element k of a line is at first + k * inner.
template <class F>
void for_each_line(const SoftmaxLines& s, F&& f) {
  for (std::int64_t o = 0; o < s.outer; ++o) {
    for (std::int64_t i = 0; i < s.inner; ++i) f(o * s.n * s.inner + i);
  }
}

template <class T>
T logsumexp_line(const T* x, std::int64_t n, std::int64_t stride) {
  T largest = x[0], total = 0;
  for (std::int64_t k = 1; k < n; ++k) largest = x[k * stride] > largest ? x[k * stride] : largest;
  for (std::int64_t k = 0; k < n; ++k) total += std::exp(x[k * stride] - largest);
  return largest + std::log(total);
}

}  // namespace detail

template <class T>
void log_softmax_forward_reference(const T* x, const SoftmaxLines& s, T* y) {
  if (s.n == 0) return;
  detail::for_each_line(s, [&](std::int64_t first) {
    const T logsumexp = detail::logsumexp_line(x + first, s.n, s.inner);
    for (std::int64_t k = 0; k < s.n; ++k) y[first + k * s.inner] = x[first + k * s.inner] - logsumexp;
  });
}

template <class T>
void softmax_forward_reference(const T* x, const SoftmaxLines& s, T* y) {
  log_softmax_forward_reference(x, s, y);
  for (std::int64_t i = 0; i < s.outer * s.n * s.inner; ++i) y[i] = std::exp(y[i]);
}

template <class T>
void softmax_backward_reference(const T* y, const T* dy, const SoftmaxLines& s, T* dx, bool accumulate) {
  detail::for_each_line(s, [&](std::int64_t first) {
    T dot = 0;
    for (std::int64_t k = 0; k < s.n; ++k) dot += dy[first + k * s.inner] * y[first + k * s.inner];
    for (std::int64_t k = 0; k < s.n; ++k) {
      const std::int64_t i = first + k * s.inner;
      dx[i] = (accumulate ? dx[i] : T(0)) + y[i] * (dy[i] - dot);
    }
  });
}

template <class T>
void log_softmax_backward_reference(const T* y, const T* dy, const SoftmaxLines& s, T* dx, bool accumulate) {
  detail::for_each_line(s, [&](std::int64_t first) {
    T total = 0;
    for (std::int64_t k = 0; k < s.n; ++k) total += dy[first + k * s.inner];
    for (std::int64_t k = 0; k < s.n; ++k) {
      const std::int64_t i = first + k * s.inner;
      dx[i] = (accumulate ? dx[i] : T(0)) + dy[i] - std::exp(y[i]) * total;
    }
  });
}

}  // namespace fovea::kernels
