// Resampling of position tables to another grid.
#pragma once

#include <utility>
#include <vector>

#include "fovea/autograd/var.h"
#include "fovea/kernels/resample.h"
#include "fovea/ops/detail/grad_target.h"

namespace fovea::ops {

// x (H, W, C) -> (height, width, C), equal to torch.nn.functional.interpolate(mode="bicubic") with the same flags.
// Meant for position tables, which are small. Keeps nothing but the weights. Throws Error when either grid is empty.
inline Var resample_bicubic(const Var& x, std::int64_t height, std::int64_t width, bool antialias = false,
                            bool align_corners = false) {
  FOVEA_CHECK(x.rank() == 3 && x.dim(0) >= 1 && x.dim(1) >= 1, "[resample_bicubic] input is ", x.shape(),
              ", expected (H, W, C) with at least one cell");
  FOVEA_CHECK(height >= 1 && width >= 1, "[resample_bicubic] grid of ", height, " x ", width,
              " asked for, expected at least one cell");
  const std::int64_t h = x.dim(0), w = x.dim(1), channels = x.dim(2);
  auto rows = kernels::ResampleAxis::bicubic(h, height, antialias, align_corners);
  auto columns = kernels::ResampleAxis::bicubic(w, width, antialias, align_corners);
  Tensor y({height, width, channels}, x.dtype());
  dispatch_floating(x.dtype(), "resample_bicubic", [&]<class T>() {
    std::vector<T> wide(static_cast<std::size_t>(h * width * channels));
    kernels::resample_axis(columns, x.value().data<T>(), h, channels, wide.data());
    kernels::resample_axis(rows, wide.data(), 1, width * channels, y.mutable_data<T>());
  });
  return record("resample_bicubic", y, {x},
                [=, rows = std::move(rows), columns = std::move(columns)](const Tensor& dy, Grads& g) {
                  dispatch_floating(dy.dtype(), "resample_bicubic", [&]<class T>() {
                    std::vector<T> dwide(static_cast<std::size_t>(h * width * channels));
                    kernels::resample_axis_grad(rows, dy.data<T>(), 1, width * channels, dwide.data());
                    const kernels::GradTarget<T> dx = detail::grad_target<T>(g, 0);
                    for (std::int64_t i = 0; !dx.accumulate && i < h * w * channels; ++i) dx.data[i] = 0;
                    kernels::resample_axis_grad(columns, dwide.data(), h, channels, dx.data);
                  });
                });
}

}  // namespace fovea::ops
