// Batch normalisation.
#pragma once

#include <cmath>
#include <vector>

#include "fovea/autograd/checkpoint.h"
#include "fovea/autograd/saved.h"
#include "fovea/autograd/var.h"
#include "fovea/kernels/batch_norm.h"
#include "fovea/kernels/batch_norm_reference.h"
#include "fovea/ops/detail/grad_target.h"

namespace fovea::ops {

namespace detail {

// Mean and 1 / sqrt(variance + eps) of each channel.
struct ChannelStatistics {
  std::vector<double> mean, rstd;
};

// running = (1 - momentum) * running + momentum * batch.
inline void move_towards(Tensor& running, const std::vector<double>& batch, double momentum) {
  dispatch_floating(running.dtype(), "batch_norm", [&]<class T>() {
    T* r = running.mutable_data<T>();
    for (std::size_t c = 0; c < batch.size(); ++c) {
      r[c] = static_cast<T>((1 - momentum) * static_cast<double>(r[c]) + momentum * batch[c]);
    }
  });
}

// `variance` becomes 1 / sqrt(variance + eps).
inline ChannelStatistics with_rstd(std::vector<double> mean, std::vector<double> variance, double eps) {
  for (double& v : variance) v = 1 / std::sqrt(v + eps);
  return {std::move(mean), std::move(variance)};
}

// Those of the batch, which also enter the running ones (the variance there without bias, as in PyTorch).
inline ChannelStatistics batch_statistics(const Tensor& x, Tensor& running_mean, Tensor& running_var, double momentum,
                                          double eps) {
  const std::int64_t channels = x.dim(-1), rows = x.shape().outer(-1);
  std::vector<double> mean(static_cast<std::size_t>(channels)), variance(mean.size());
  if (x.dtype() == DType::f32) {
    kernels::channel_moments_f32(x.data<float>(), rows, channels, mean.data(), variance.data());
  } else {
    kernels::channel_moments_reference(x.data<double>(), rows, channels, mean.data(), variance.data());
  }
  if (momentum != 0 && !recomputing()) {
    std::vector<double> unbiased = variance;
    for (double& v : unbiased) v *= static_cast<double>(rows) / static_cast<double>(rows - 1);
    move_towards(running_mean, mean, momentum);
    move_towards(running_var, unbiased, momentum);
  }
  return with_rstd(std::move(mean), std::move(variance), eps);
}

inline ChannelStatistics running_statistics(const Tensor& running_mean, const Tensor& running_var, double eps) {
  std::vector<double> mean, variance;
  for (std::int64_t c = 0; c < running_mean.numel(); ++c) {
    mean.push_back(running_mean.at(c));
    variance.push_back(running_var.at(c));
  }
  return with_rstd(std::move(mean), std::move(variance), eps);
}

inline void check_batch_norm(const Var& x, const Var& weight, const Var& bias, const Tensor& running_mean,
                             const Tensor& running_var, bool training, const Var& residual) {
  FOVEA_CHECK(x.rank() >= 1, "[batch_norm] input is a scalar, expected (..., C)");
  const Shape channels{x.dim(-1)};
  FOVEA_CHECK(weight.shape() == channels && bias.shape() == channels, "[batch_norm] input has ", x.dim(-1),
              " channels, weight is ", weight.shape(), " and bias ", bias.shape());
  FOVEA_CHECK(running_mean.shape() == channels && running_var.shape() == channels, "[batch_norm] input has ", x.dim(-1),
              " channels, running mean is ", running_mean.shape(), " and running variance ", running_var.shape());
  FOVEA_CHECK(!residual.defined() || residual.shape() == x.shape(), "[batch_norm] residual is ", residual.shape(),
              ", input is ", x.shape());
  FOVEA_CHECK(!training || x.shape().outer(-1) >= 2, "[batch_norm] input ", x.shape(), " has ", x.shape().outer(-1),
              " values per channel, training needs more than one\nhint: a larger batch, or evaluation mode");
}

}  // namespace detail

// relu?(n * weight + bias + residual), n = (x - mean) / sqrt(var + eps) per channel: x (..., C) -> (..., C), `residual`
// like x or undefined (Ioffe & Szegedy 2015, algorithm 1). Training takes the batch's statistics over all leading axes
// and moves the running ones (C, f32 or f64) towards them in place: running = (1 - momentum) * running + momentum *
// batch, the variance there unbiased; momentum 0 leaves them alone, and so does the recomputation of a checkpoint.
// Otherwise the running ones are used, as constants. Keeps x, and y for relu's mask. Throws Error when extents differ,
// or in training with fewer than two values per channel.
inline Var batch_norm(const Var& x, const Var& weight, const Var& bias, Tensor& running_mean, Tensor& running_var,
                      bool training, double momentum, double eps, bool relu = false, const Var& residual = {}) {
  detail::check_batch_norm(x, weight, bias, running_mean, running_var, training, residual);
  const std::int64_t channels = x.dim(-1), rows = x.shape().outer(-1);
  Tensor y(x.shape(), x.dtype());
  detail::ChannelStatistics statistics;
  dispatch_floating(x.dtype(), "batch_norm", [&]<class T>() {
    statistics = training ? detail::batch_statistics(x.value(), running_mean, running_var, momentum, eps)
                          : detail::running_statistics(running_mean, running_var, eps);
    const kernels::BatchNormArgs<T> args{rows,
                                         channels,
                                         x.value().data<T>(),
                                         weight.value().data<T>(),
                                         bias.value().data<T>(),
                                         detail::data_or_null<T>(residual.value()),
                                         statistics.mean.data(),
                                         statistics.rstd.data(),
                                         relu,
                                         y.mutable_data<T>()};
    if constexpr (std::is_same_v<T, float>) {
      kernels::batch_norm_f32(args);
    } else {
      kernels::batch_norm_reference(args);
    }
  });
  const SavedActivation saved_y(relu ? y : Tensor());
  auto backward = [=, statistics = std::move(statistics), x = SavedActivation(x), weight = Saved(weight.value())](
                      const Tensor& dy, Grads& g) {
    const Tensor values = x.restore(), result = saved_y.restore();
    dispatch_floating(dy.dtype(), "batch_norm", [&]<class T>() {
      const T* output = detail::data_or_null<T>(result);
      const double *mean = statistics.mean.data(), *rstd = statistics.rstd.data();
      std::vector<double> sum_g(static_cast<std::size_t>(channels)), sum_gn(sum_g.size());
      if (training || g.wants(1) || g.wants(2)) {
        const kernels::BatchNormSumsArgs<T> args{rows, channels, values.data<T>(), output,       dy.data<T>(),
                                                 mean, rstd,     sum_g.data(),     sum_gn.data()};
        if constexpr (std::is_same_v<T, float>) {
          kernels::batch_norm_sums_f32(args);
        } else {
          kernels::batch_norm_sums_reference(args);
        }
      }
      const auto put_sums = [&](int input, const std::vector<double>& sums) {
        const kernels::GradTarget<T> target = detail::grad_target<T>(g, input);
        for (std::size_t c = 0; target && c < sums.size(); ++c) target.put(c, static_cast<T>(sums[c]));
      };
      put_sums(1, sum_gn);
      put_sums(2, sum_g);
      if (!g.wants(0) && !g.wants(3)) return;
      const kernels::BatchNormGradArgs<T> args{rows,
                                               channels,
                                               values.data<T>(),
                                               output,
                                               weight->data<T>(),
                                               dy.data<T>(),
                                               mean,
                                               rstd,
                                               training ? sum_g.data() : nullptr,
                                               training ? sum_gn.data() : nullptr,
                                               detail::grad_target<T>(g, 0),
                                               detail::grad_target<T>(g, 3)};
      if constexpr (std::is_same_v<T, float>) {
        kernels::batch_norm_grad_f32(args);
      } else {
        kernels::batch_norm_grad_reference(args);
      }
    });
  };
  const Var normalised = record("batch_norm", y, {x, weight, bias, residual}, std::move(backward));
  saved_y.share_with(normalised);
  return normalised;
}

}  // namespace fovea::ops
