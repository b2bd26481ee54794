// Pooling, plainly: the definition of the kernels, and the f64 path. Gradients are scattered here and gathered there.
#pragma once

#include <cmath>

#include "fovea/kernels/pool.h"

namespace fovea::kernels {

// Calls f(output element, input element, index in the window) for every pair of an output and an input it covers, and
// at_start(output element, window size) before each window.
template <class Start, class F>
void for_each_in_windows(const PoolShape& s, Start&& at_start, F&& f) {
  std::int64_t out = 0;
  for (std::int64_t n = 0; n < s.images; ++n) {
    for (std::size_t oh = 0; oh < s.rows.begin.size(); ++oh) {
      for (std::size_t ow = 0; ow < s.columns.begin.size(); ++ow) {
        const std::int64_t h0 = s.rows.begin[oh], h1 = s.rows.end[oh], w0 = s.columns.begin[ow], w1 = s.columns.end[ow];
        for (std::int64_t c = 0; c < s.channels; ++c, ++out) {
          at_start(out, (h1 - h0) * (w1 - w0));
          std::int64_t index = 0;
          for (std::int64_t h = h0; h < h1; ++h) {
            for (std::int64_t w = w0; w < w1; ++w) {
              f(out, ((n * s.rows.inputs() + h) * s.columns.inputs() + w) * s.channels + c, index++);
            }
          }
        }
      }
    }
  }
}

template <class T>
void max_pool2d_reference(const PoolShape& shape, const T* x, T* y, std::uint8_t* argmax) {
  for_each_in_windows(
      shape, [](std::int64_t, std::int64_t) {},
      [&](std::int64_t out, std::int64_t in, std::int64_t index) {
        if (index > 0 && !(x[in] > y[out] || std::isnan(x[in]))) return;
        y[out] = x[in];
        if (argmax) argmax[out] = static_cast<std::uint8_t>(index);
      });
}

// Zeros where the gradient is not added to what is there, for scattering.
template <class T>
void prepare_scatter(const PoolShape& s, const GradTarget<T>& dx) {
  const std::int64_t inputs = s.images * s.rows.inputs() * s.columns.inputs() * s.channels;
  for (std::int64_t i = 0; !dx.accumulate && i < inputs; ++i) dx.data[i] = 0;
}

template <class T>
void max_pool2d_grad_reference(const PoolShape& shape, const std::uint8_t* argmax, const T* dy,
                               const GradTarget<T>& dx) {
  prepare_scatter(shape, dx);
  for_each_in_windows(
      shape, [](std::int64_t, std::int64_t) {},
      [&](std::int64_t out, std::int64_t in, std::int64_t index) {
        if (index == argmax[out]) dx.data[in] += dy[out];
      });
}

template <class T>
void avg_pool2d_reference(const PoolShape& shape, const T* x, T* y) {
  std::int64_t size = 1;
  for_each_in_windows(
      shape, [&](std::int64_t out, std::int64_t window) { y[out] = 0, size = window; },
      [&](std::int64_t out, std::int64_t in, std::int64_t) { y[out] += x[in] / static_cast<T>(size); });
}

template <class T>
void avg_pool2d_grad_reference(const PoolShape& shape, const T* dy, const GradTarget<T>& dx) {
  prepare_scatter(shape, dx);
  std::int64_t size = 1;
  for_each_in_windows(
      shape, [&](std::int64_t, std::int64_t window) { size = window; },
      [&](std::int64_t out, std::int64_t in, std::int64_t) { dx.data[in] += dy[out] / static_cast<T>(size); });
}

}  // namespace fovea::kernels
