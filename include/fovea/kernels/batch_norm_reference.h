// Batch normalisation, plainly: the definition of the kernel, and the f64 path.
#pragma once

#include "fovea/core/parallel.h"
#include "fovea/kernels/batch_norm.h"

namespace fovea::kernels {

template <class T>
void channel_moments_reference(const T* x, std::int64_t rows, std::int64_t channels, double* mean, double* variance) {
  for (std::int64_t c = 0; c < channels; ++c) mean[c] = variance[c] = 0;
  const auto n = static_cast<double>(rows);
  for (std::int64_t i = 0; i < rows * channels; ++i) mean[i % channels] += static_cast<double>(x[i]) / n;
  for (std::int64_t i = 0; i < rows * channels; ++i) {
    const double centred = static_cast<double>(x[i]) - mean[i % channels];
    variance[i % channels] += centred * centred / n;
  }
}

template <class T>
void batch_norm_reference(const BatchNormArgs<T>& args) {
  parallel_for(args.rows, 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin * args.channels; i < end * args.channels; ++i) {
      const std::int64_t c = i % args.channels;
      const T normalised = static_cast<T>((static_cast<double>(args.x[i]) - args.mean[c]) * args.rstd[c]);
      const T y = normalised * args.weight[c] + args.bias[c] + (args.residual ? args.residual[i] : T(0));
      args.y[i] = args.relu && y <= 0 ? T(0) : y;
    }
  });
}

template <class T>
void batch_norm_sums_reference(const BatchNormSumsArgs<T>& args) {
  for (std::int64_t c = 0; c < args.channels; ++c) args.sum_g[c] = args.sum_gn[c] = 0;
  for (std::int64_t i = 0; i < args.rows * args.channels; ++i) {
    if (args.y && !(args.y[i] > 0)) continue;
    const std::int64_t c = i % args.channels;
    const auto g = static_cast<double>(args.dy[i]);
    args.sum_g[c] += g;
    args.sum_gn[c] += g * (static_cast<double>(args.x[i]) - args.mean[c]) * args.rstd[c];
  }
}

template <class T>
void batch_norm_grad_reference(const BatchNormGradArgs<T>& args) {
  const auto n = static_cast<double>(args.rows);
  parallel_for(args.rows, 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin * args.channels; i < end * args.channels; ++i) {
      const std::int64_t c = i % args.channels;
      const T g = args.y && !(args.y[i] > 0) ? T(0) : args.dy[i];
      if (args.dx) {
        double centred = static_cast<double>(g);
        if (args.sum_g) {
          const double normalised = (static_cast<double>(args.x[i]) - args.mean[c]) * args.rstd[c];
          centred -= args.sum_g[c] / n + normalised * args.sum_gn[c] / n;
        }
        args.dx.put(i, static_cast<T>(static_cast<double>(args.weight[c]) * args.rstd[c] * centred));
      }
      if (args.dresidual) args.dresidual.put(i, g);
    }
  });
}

}  // namespace fovea::kernels
