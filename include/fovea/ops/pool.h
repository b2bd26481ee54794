// Pooling of images.
#pragma once

#include <utility>

#include "fovea/autograd/saved.h"
#include "fovea/autograd/var.h"
#include "fovea/kernels/pool.h"
#include "fovea/kernels/pool_reference.h"
#include "fovea/ops/detail/grad_target.h"

namespace fovea::ops {

namespace detail {

struct PoolAxes {
  kernels::PoolAxis rows, columns;

  kernels::PoolShape shape(std::int64_t images, std::int64_t channels) const {
    return {images, channels, rows, columns};
  }
};

inline PoolAxes sliding_windows(const char* name, const Var& x, std::int64_t kernel, std::int64_t stride,
                                std::int64_t padding) {
  FOVEA_CHECK(x.rank() == 4 && x.dim(1) > 0 && x.dim(2) > 0, "[", name, "] input is ", x.shape(),
              ", expected (N, H, W, C) with pixels");
  FOVEA_CHECK(kernel >= 1 && stride >= 1, "[", name, "] kernel ", kernel, " and stride ", stride,
              " must be at least 1");
  FOVEA_CHECK(x.dim(1) + 2 * padding >= kernel && x.dim(2) + 2 * padding >= kernel, "[", name, "] window of ", kernel,
              " is larger than the image: ", x.shape(), " with padding ", padding);
  return {kernels::PoolAxis::sliding(x.dim(1), kernel, stride, padding),
          kernels::PoolAxis::sliding(x.dim(2), kernel, stride, padding)};
}

// The mean of each window, as a tensor of shape `out`.
inline Var average_windows(const char* name, const Var& x, PoolAxes axes, const Shape& out) {
  const std::int64_t images = x.dim(0), channels = x.dim(3);
  Tensor y(out, x.dtype());
  dispatch_floating(x.dtype(), name, [&]<class T>() {
    const kernels::PoolShape shape = axes.shape(images, channels);
    if constexpr (std::is_same_v<T, float>) {
      kernels::avg_pool2d_f32(shape, x.value().data<T>(), y.mutable_data<T>());
    } else {
      kernels::avg_pool2d_reference(shape, x.value().data<T>(), y.mutable_data<T>());
    }
  });
  return record(name, y, {x}, [=, axes = std::move(axes)](const Tensor& dy, Grads& g) {
    dispatch_floating(dy.dtype(), name, [&]<class T>() {
      const kernels::PoolShape shape = axes.shape(images, channels);
      if constexpr (std::is_same_v<T, float>) {
        kernels::avg_pool2d_grad_f32(shape, dy.data<T>(), grad_target<T>(g, 0));
      } else {
        kernels::avg_pool2d_grad_reference(shape, dy.data<T>(), grad_target<T>(g, 0));
      }
    });
  });
}

}  // namespace detail

// Largest element of square windows of at most 16 x 16: (N, H, W, C) -> (N, h, w, C), h = (H + 2 padding - kernel) /
// stride + 1 rounded down. Padding never wins and is at most half the window. The gradient goes to the first of equals;
// NaN wins over numbers. Keeps one byte per output. Throws Error when the window or the padding does not fit.
inline Var max_pool2d(const Var& x, std::int64_t kernel, std::int64_t stride, std::int64_t padding = 0) {
  FOVEA_CHECK(kernel <= 16, "[max_pool2d] window of ", kernel, ", at most 16 is supported");
  FOVEA_CHECK(padding >= 0 && 2 * padding <= kernel, "[max_pool2d] padding ", padding, " of a window of ", kernel,
              ", expected 0 to half the window");
  detail::PoolAxes axes = detail::sliding_windows("max_pool2d", x, kernel, stride, padding);
  const std::int64_t images = x.dim(0), channels = x.dim(3);
  Tensor y({images, axes.rows.outputs(), axes.columns.outputs(), channels}, x.dtype()), argmax(y.shape(), DType::u8);
  dispatch_floating(x.dtype(), "max_pool2d", [&]<class T>() {
    const kernels::PoolShape shape = axes.shape(images, channels);
    if constexpr (std::is_same_v<T, float>) {
      kernels::max_pool2d_f32(shape, x.value().data<T>(), y.mutable_data<T>(), argmax.mutable_data<std::uint8_t>());
    } else {
      kernels::max_pool2d_reference(shape, x.value().data<T>(), y.mutable_data<T>(),
                                    argmax.mutable_data<std::uint8_t>());
    }
  });
  return record("max_pool2d", y, {x}, [=, axes = std::move(axes)](const Tensor& dy, Grads& g) {
    dispatch_floating(dy.dtype(), "max_pool2d", [&]<class T>() {
      const kernels::PoolShape shape = axes.shape(images, channels);
      const std::uint8_t* which = argmax.data<std::uint8_t>();
      if constexpr (std::is_same_v<T, float>) {
        kernels::max_pool2d_grad_f32(shape, which, dy.data<T>(), detail::grad_target<T>(g, 0));
      } else {
        kernels::max_pool2d_grad_reference(shape, which, dy.data<T>(), detail::grad_target<T>(g, 0));
      }
    });
  });
}

// Mean of square windows without padding: (N, H, W, C) -> (N, h, w, C), h = (H - kernel) / stride + 1 rounded down.
// Throws Error when the window does not fit the image.
inline Var avg_pool2d(const Var& x, std::int64_t kernel, std::int64_t stride) {
  detail::PoolAxes axes = detail::sliding_windows("avg_pool2d", x, kernel, stride, 0);
  const Shape out{x.dim(0), axes.rows.outputs(), axes.columns.outputs(), x.dim(3)};
  return detail::average_windows("avg_pool2d", x, std::move(axes), out);
}

// Mean of windows that cover the image evenly, overlapping where extents do not divide, as PyTorch's
// adaptive_avg_pool2d: (N, H, W, C) -> (N, height, width, C). Throws Error when the image or the result has no pixel.
inline Var adaptive_avg_pool2d(const Var& x, std::int64_t height, std::int64_t width) {
  FOVEA_CHECK(x.rank() == 4 && x.dim(1) > 0 && x.dim(2) > 0, "[adaptive_avg_pool2d] input is ", x.shape(),
              ", expected (N, H, W, C) with pixels");
  FOVEA_CHECK(height >= 1 && width >= 1, "[adaptive_avg_pool2d] result of ", height, " x ", width,
              " pixels, expected at least one");
  detail::PoolAxes axes{kernels::PoolAxis::adaptive(x.dim(1), height), kernels::PoolAxis::adaptive(x.dim(2), width)};
  return detail::average_windows("adaptive_avg_pool2d", x, std::move(axes), {x.dim(0), height, width, x.dim(3)});
}

// Mean over all pixels: (N, H, W, C) -> (N, C). Throws Error when there is no pixel.
inline Var global_avg_pool2d(const Var& x) {
  FOVEA_CHECK(x.rank() == 4 && x.dim(1) > 0 && x.dim(2) > 0, "[global_avg_pool2d] input is ", x.shape(),
              ", expected (N, H, W, C) with pixels");
  detail::PoolAxes axes{kernels::PoolAxis::adaptive(x.dim(1), 1), kernels::PoolAxis::adaptive(x.dim(2), 1)};
  return detail::average_windows("global_avg_pool2d", x, std::move(axes), {x.dim(0), x.dim(3)});
}

}  // namespace fovea::ops
