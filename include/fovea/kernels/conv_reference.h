// Convolution, written plainly: what the kernels are tested against, and the f64 path.
#pragma once

#include "fovea/core/parallel.h"
#include "fovea/kernels/conv.h"

namespace fovea::kernels {

namespace detail {

// Calls f(x_offset, w_offset) for every pair of input element and filter weight that contributes to output pixel
// (n, oy, ox) of channel o; f is called with runs of group_c() consecutive elements of both.
template <class F>
void for_each_tap(const Conv2dShape& s, std::int64_t n, std::int64_t oy, std::int64_t ox, std::int64_t o, F&& f) {
  const std::int64_t group = o / s.group_o();
  for (std::int64_t ky = 0; ky < s.kh; ++ky) {
    for (std::int64_t kx = 0; kx < s.kw; ++kx) {
      const std::int64_t iy = oy * s.stride - s.padding + ky, ix = ox * s.stride - s.padding + kx;
      if (iy < 0 || iy >= s.h || ix < 0 || ix >= s.w) continue;
      f(((n * s.h + iy) * s.w + ix) * s.c + group * s.group_c(), ((o * s.kh + ky) * s.kw + kx) * s.group_c());
    }
  }
}

}  // namespace detail

// As conv2d_f32.
template <class T>
void conv2d_reference(const Conv2dShape& s, const T* x, const T* w, const T* bias, T* y) {
  parallel_for(s.n * s.out_h(), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      for (std::int64_t ox = 0; ox < s.out_w(); ++ox) {
        for (std::int64_t o = 0; o < s.o; ++o) {
          T total = bias ? bias[o] : T(0);
          detail::for_each_tap(s, row / s.out_h(), row % s.out_h(), ox, o, [&](std::int64_t xi, std::int64_t wi) {
            for (std::int64_t c = 0; c < s.group_c(); ++c) total += x[xi + c] * w[wi + c];
          });
          y[(row * s.out_w() + ox) * s.o + o] = total;
        }
      }
    }
  });
}

// As conv2d_input_grad_f32.
template <class T>
void conv2d_input_grad_reference(const Conv2dShape& s, const T* dy, const T* w, T* dx, bool accumulate) {
  parallel_for(s.n, 1, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t image = s.h * s.w * s.c;
    for (std::int64_t i = begin * image; !accumulate && i < end * image; ++i) dx[i] = 0;
    for (std::int64_t row = begin * s.out_h(); row < end * s.out_h(); ++row) {
      for (std::int64_t ox = 0; ox < s.out_w(); ++ox) {
        for (std::int64_t o = 0; o < s.o; ++o) {
          const T g = dy[(row * s.out_w() + ox) * s.o + o];
          detail::for_each_tap(s, row / s.out_h(), row % s.out_h(), ox, o, [&](std::int64_t xi, std::int64_t wi) {
            for (std::int64_t c = 0; c < s.group_c(); ++c) dx[xi + c] += g * w[wi + c];
          });
        }
      }
    }
  });
}

// As conv2d_weight_grad_f32.
template <class T>
void conv2d_weight_grad_reference(const Conv2dShape& s, const T* x, const T* dy, T* dw, bool accumulate) {
  parallel_for(s.o, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin * s.filter_size(); !accumulate && i < end * s.filter_size(); ++i) dw[i] = 0;
    for (std::int64_t row = 0; row < s.n * s.out_h(); ++row) {
      for (std::int64_t ox = 0; ox < s.out_w(); ++ox) {
        for (std::int64_t o = begin; o < end; ++o) {
          const T g = dy[(row * s.out_w() + ox) * s.o + o];
          detail::for_each_tap(s, row / s.out_h(), row % s.out_h(), ox, o, [&](std::int64_t xi, std::int64_t wi) {
            for (std::int64_t c = 0; c < s.group_c(); ++c) dw[wi + c] += g * x[xi + c];
          });
        }
      }
    }
  });
}

}  // namespace fovea::kernels
