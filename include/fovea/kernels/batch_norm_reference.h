// Batch normalisation, plainly: the definition of the kernel, and the f64 path.
#pragma once

#include <vector>

#include "fovea/core/parallel.h"
#include "fovea/kernels/activation_reference.h"
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
      args.y[i] = activate_reference(args.activation, y);
      if (args.gate.factor) args.y[i] *= args.gate.factor[i / args.channels / args.gate.rows * args.channels + c];
    }
  });
}

template <class T>
void batch_norm_sample_sums_reference(const BatchNormArgs<T>& args, const T* dy, T* sums) {
  const std::int64_t samples = args.rows / args.gate.rows, size = args.gate.rows * args.channels;
  std::vector<T> y(static_cast<std::size_t>(size));
  for (std::int64_t n = 0; n < samples; ++n, sums += args.channels) {
    batch_norm_reference<T>({args.gate.rows, args.channels, args.x + n * size, args.weight, args.bias, nullptr,
                             args.mean, args.rstd, args.activation, y.data()});
    for (std::int64_t c = 0; c < args.channels; ++c) sums[c] = 0;
    for (std::int64_t i = 0; i < size; ++i) {
      sums[i % args.channels] += y[static_cast<std::size_t>(i)] * (dy ? dy[n * size + i] : T(1));
    }
  }
}

namespace detail {

// (x - mean) * rstd of element i.
template <class T>
double normalised(const BatchNormInput<T>& in, std::int64_t i) {
  return (static_cast<double>(in.x[i]) - in.mean[i % in.channels]) * in.rstd[i % in.channels];
}

// dy times the derivative of the activation at element i.
template <class T>
T passed_gradient(const BatchNormInput<T>& in, std::int64_t i) {
  const std::int64_t c = i % in.channels;
  T g = in.dy[i];
  if (in.gate.factor) {
    const std::int64_t at = i / in.channels / in.gate.rows * in.channels + c;
    g = g * in.gate.factor[at] + in.gate.offset[at];
  }
  if (in.activation == Activation::relu) return in.y[i] > 0 ? g : T(0);
  const T inner = static_cast<T>(normalised(in, i)) * in.weight[c] + in.bias[c];
  return g * activate_grad_reference(in.activation, inner);
}

}  // namespace detail

template <class T>
void batch_norm_sums_reference(const BatchNormInput<T>& in, double* sum_g, double* sum_gn) {
  for (std::int64_t c = 0; c < in.channels; ++c) sum_g[c] = sum_gn[c] = 0;
  for (std::int64_t i = 0; i < in.rows * in.channels; ++i) {
    const auto g = static_cast<double>(detail::passed_gradient(in, i));
    sum_g[i % in.channels] += g;
    sum_gn[i % in.channels] += g * detail::normalised(in, i);
  }
}

template <class T>
void batch_norm_grad_reference(const BatchNormGradArgs<T>& args) {
  const BatchNormInput<T>& in = args.in;
  const auto n = static_cast<double>(in.rows);
  parallel_for(in.rows, 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin * in.channels; i < end * in.channels; ++i) {
      const std::int64_t c = i % in.channels;
      const T g = detail::passed_gradient(in, i);
      if (args.dx) {
        double centred = static_cast<double>(g);
        if (args.sum_g) centred -= args.sum_g[c] / n + detail::normalised(in, i) * args.sum_gn[c] / n;
        args.dx.put(i, static_cast<T>(static_cast<double>(in.weight[c]) * in.rstd[c] * centred));
      }
      if (args.dresidual) args.dresidual.put(i, g);
    }
  });
}

}  // namespace fovea::kernels
