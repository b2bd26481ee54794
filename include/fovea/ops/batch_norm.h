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

struct BatchNormOptions {
  bool training = false;  // statistics of the batch, not the running ones
  double momentum = 0.1;  // weight of the batch in the running ones
  double eps = 1e-5;
  Activation activation = Activation::none;  // of the result; with a residual none or relu
  std::int64_t ghost_batches = 1;            // equal parts of the first axis with statistics of their own, in training
};

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

// Those of `groups` equal runs of rows of x, one after another. The mean over the groups also enters the running ones
// (the variance there without bias, as in PyTorch).
inline ChannelStatistics batch_statistics(const Tensor& x, Tensor& running_mean, Tensor& running_var,
                                          const BatchNormOptions& options) {
  const std::int64_t channels = x.dim(-1), groups = options.ghost_batches, rows = x.shape().outer(-1) / groups;
  const auto width = static_cast<std::size_t>(channels);
  std::vector<double> mean(width * static_cast<std::size_t>(groups)), variance(mean.size());
  for (std::int64_t g = 0; g < groups; ++g) {
    double *const m = mean.data() + g * channels, *const v = variance.data() + g * channels;
    if (x.dtype() == DType::f32) {
      kernels::channel_moments_f32(x.data<float>() + g * rows * channels, rows, channels, m, v);
    } else {
      kernels::channel_moments_reference(x.data<double>() + g * rows * channels, rows, channels, m, v);
    }
  }
  if (options.momentum != 0 && !recomputing()) {
    std::vector<double> mean_of_all(width), unbiased(width);
    const auto share = 1 / static_cast<double>(groups);
    const double correction = static_cast<double>(rows) / static_cast<double>(rows - 1);
    for (std::size_t i = 0; i < mean.size(); ++i) {
      mean_of_all[i % width] += share * mean[i];
      unbiased[i % width] += share * correction * variance[i];
    }
    move_towards(running_mean, mean_of_all, options.momentum);
    move_towards(running_var, unbiased, options.momentum);
  }
  for (double& v : variance) v = 1 / std::sqrt(v + options.eps);
  return {std::move(mean), std::move(variance)};
}

inline ChannelStatistics running_statistics(const Tensor& running_mean, const Tensor& running_var, double eps) {
  ChannelStatistics statistics;
  for (std::int64_t c = 0; c < running_mean.numel(); ++c) {
    statistics.mean.push_back(running_mean.at(c));
    statistics.rstd.push_back(1 / std::sqrt(running_var.at(c) + eps));
  }
  return statistics;
}

inline void check_batch_norm(const Var& x, const Var& weight, const Var& bias, const Tensor& running_mean,
                             const Tensor& running_var, const BatchNormOptions& options, const Var& residual) {
  FOVEA_CHECK(x.rank() >= 1, "[batch_norm] input is a scalar, expected (..., C)");
  const Shape channels{x.dim(-1)};
  FOVEA_CHECK(weight.shape() == channels && bias.shape() == channels, "[batch_norm] input has ", x.dim(-1),
              " channels, weight is ", weight.shape(), " and bias ", bias.shape());
  FOVEA_CHECK(running_mean.shape() == channels && running_var.shape() == channels, "[batch_norm] input has ", x.dim(-1),
              " channels, running mean is ", running_mean.shape(), " and running variance ", running_var.shape());
  FOVEA_CHECK(!residual.defined() || residual.shape() == x.shape(), "[batch_norm] residual is ", residual.shape(),
              ", input is ", x.shape());
  FOVEA_CHECK(!residual.defined() || options.activation == Activation::none || options.activation == Activation::relu,
              "[batch_norm] a residual goes with relu or no activation");
  if (!options.training) return;
  const std::int64_t groups = options.ghost_batches;
  FOVEA_CHECK(groups >= 1 && x.dim(0) % groups == 0, "[batch_norm] ", x.dim(0), " samples do not divide into ", groups,
              " ghost batches");
  FOVEA_CHECK(x.shape().outer(-1) >= 2 * groups, "[batch_norm] input ", x.shape(), " has ",
              x.shape().outer(-1) / groups,
              " values per channel, training needs more than one\nhint: a larger batch, or evaluation mode");
}

// What forward and backward of one batch norm share.
struct BatchNormState {
  ChannelStatistics statistics;  // of each group
  SavedActivation x;
  Saved weight, bias;
  Activation activation;
  bool training;
  std::int64_t groups, rows, channels;  // rows: of a group

  BatchNormState(const Var& in, const Var& w, const Var& b, Tensor& running_mean, Tensor& running_var,
                 const BatchNormOptions& options)
      : statistics(options.training ? batch_statistics(in.value(), running_mean, running_var, options)
                                    : running_statistics(running_mean, running_var, options.eps)),
        x(in),
        weight(w.value()),
        bias(b.value()),
        activation(options.activation),
        training(options.training),
        groups(training ? options.ghost_batches : 1),
        rows(in.shape().outer(-1) / groups),
        channels(in.dim(-1)) {}

  std::int64_t begin(std::int64_t group) const { return group * rows * channels; }  // its first element
  const double* mean(std::int64_t group) const { return statistics.mean.data() + group * channels; }
  const double* rstd(std::int64_t group) const { return statistics.rstd.data() + group * channels; }

  // Of a whole group or, with a gate of `sample_rows` rows a sample, of a group whose samples have gates.
  template <class T>
  kernels::BatchNormArgs<T> args(const Tensor& values, std::int64_t group, const T* residual, T* y,
                                 kernels::SampleGate<T> gate = {}) const {
    return {rows,
            channels,
            values.data<T>() + begin(group),
            weight->data<T>(),
            bias->data<T>(),
            residual ? residual + begin(group) : nullptr,
            mean(group),
            rstd(group),
            activation,
            y ? y + begin(group) : nullptr,
            of_group(gate, group)};
  }
  template <class T>
  kernels::SampleGate<T> of_group(kernels::SampleGate<T> gate, std::int64_t group) const {
    const std::int64_t at = gate.rows > 0 ? begin(group) / gate.rows : 0;
    if (gate.factor) gate.factor += at;
    if (gate.offset) gate.offset += at;
    return gate;
  }

  // The gradients of x, weight, bias and the residual: inputs 0 to 3. `output` is relu's, or null.
  template <class T>
  void backward(const T* output, const Tensor& dy, Grads& g, bool residual, kernels::SampleGate<T> gate = {}) const {
    const Tensor values = x.restore();
    const auto input = [&](std::int64_t group) {
      return kernels::BatchNormInput<T>{rows,
                                        channels,
                                        values.data<T>() + begin(group),
                                        output ? output + begin(group) : nullptr,
                                        weight->data<T>(),
                                        bias->data<T>(),
                                        dy.data<T>() + begin(group),
                                        mean(group),
                                        rstd(group),
                                        activation,
                                        of_group(gate, group)};
    };
    const auto width = static_cast<std::size_t>(channels);
    std::vector<double> sum_g(width * static_cast<std::size_t>(groups)), sum_gn(sum_g.size());
    if (training || g.wants(1) || g.wants(2)) {
      for (std::int64_t group = 0; group < groups; ++group) {
        double *const of_g = sum_g.data() + group * channels, *const of_gn = sum_gn.data() + group * channels;
        if constexpr (std::is_same_v<T, float>) {
          kernels::batch_norm_sums_f32(input(group), of_g, of_gn);
        } else {
          kernels::batch_norm_sums_reference(input(group), of_g, of_gn);
        }
      }
    }
    const auto put_sums = [&](int which, const std::vector<double>& sums) {
      const kernels::GradTarget<T> target = grad_target<T>(g, which);
      for (std::size_t c = 0; target && c < width; ++c) {
        double total = 0;
        for (std::size_t i = c; i < sums.size(); i += width) total += sums[i];
        target.put(c, static_cast<T>(total));
      }
    };
    put_sums(1, sum_gn);
    put_sums(2, sum_g);
    if (!g.wants(0) && !(residual && g.wants(3))) return;
    const kernels::GradTarget<T> dx = grad_target<T>(g, 0);
    const kernels::GradTarget<T> dresidual = residual ? grad_target<T>(g, 3) : kernels::GradTarget<T>{};
    for (std::int64_t group = 0; group < groups; ++group) {
      const kernels::BatchNormGradArgs<T> args{input(group), training ? sum_g.data() + group * channels : nullptr,
                                               training ? sum_gn.data() + group * channels : nullptr,
                                               dx.from(begin(group)), dresidual.from(begin(group))};
      if constexpr (std::is_same_v<T, float>) {
        kernels::batch_norm_grad_f32(args);
      } else {
        kernels::batch_norm_grad_reference(args);
      }
    }
  }
};

// y, or with `sums` (samples, channels) what batch_norm_sample_sums_f32 says.
template <class T>
void run_batch_norm(const kernels::BatchNormArgs<T>& args, const T* dy = nullptr, T* sums = nullptr) {
  if constexpr (std::is_same_v<T, float>) {
    sums ? kernels::batch_norm_sample_sums_f32(args, dy, sums) : kernels::batch_norm_f32(args);
  } else {
    sums ? kernels::batch_norm_sample_sums_reference(args, dy, sums) : kernels::batch_norm_reference(args);
  }
}

}  // namespace detail

// activation of (n * weight + bias + residual), n = (x - mean) / sqrt(var + eps) per channel: x (..., C) -> (..., C),
// `residual` like x or undefined (Ioffe & Szegedy 2015, algorithm 1). Training takes the batch's statistics over all
// leading axes, or those of each of several ghost batches (Hoffer et al. 2017, algorithm 1), and moves the running ones
// (C, f32 or f64) towards them in place: running = (1 - momentum) * running + momentum * batch, the mean of the ghost
// batches', the variance there unbiased; momentum 0 leaves them alone, and so does the recomputation of a checkpoint.
// Otherwise the running ones are used, as constants. Keeps x, and y for relu's mask. Throws Error when extents differ,
// or in training with fewer than two values per channel.
inline Var batch_norm(const Var& x, const Var& weight, const Var& bias, Tensor& running_mean, Tensor& running_var,
                      const BatchNormOptions& options = {}, const Var& residual = {}) {
  detail::check_batch_norm(x, weight, bias, running_mean, running_var, options, residual);
  detail::BatchNormState state(x, weight, bias, running_mean, running_var, options);
  Tensor y(x.shape(), x.dtype());
  dispatch_floating(x.dtype(), "batch_norm", [&]<class T>() {
    const T* added = detail::data_or_null<T>(residual.value());
    for (std::int64_t group = 0; group < state.groups; ++group)
      detail::run_batch_norm(state.args<T>(x.value(), group, added, y.mutable_data<T>()));
  });
  const SavedActivation saved_y(options.activation == Activation::relu ? y : Tensor());
  auto backward = [saved_y, state = std::move(state)](const Tensor& dy, Grads& g) {
    const Tensor result = saved_y.restore();
    dispatch_floating(dy.dtype(), "batch_norm",
                      [&]<class T>() { state.backward(detail::data_or_null<T>(result), dy, g, true); });
  };
  const Var normalised = record("batch_norm", y, {x, weight, bias, residual}, std::move(backward));
  saved_y.share_with(normalised);
  return normalised;
}

// y * gate(mean of y over each sample's pixels), y = batch_norm(x, ...): squeeze-and-excitation (Hu et al. 2018, eq. 2
// to 4) of x (N, H, W, C), in which y is never stored; gate maps (N, C) to (N, C) and must depend on its argument.
// Keeps x. Throws Error as batch_norm does, and for relu, whose mask is not kept.
template <class Gate>
Var batch_norm_excite(const Var& x, const Var& weight, const Var& bias, Tensor& running_mean, Tensor& running_var,
                      const BatchNormOptions& options, const Gate& gate) {
  detail::check_batch_norm(x, weight, bias, running_mean, running_var, options, {});
  FOVEA_CHECK(x.rank() == 4 && options.activation != Activation::relu, "[batch_norm_excite] input is ", x.shape(),
              ", expected (N, H, W, C), and any activation but relu");
  struct Shared : detail::BatchNormState {
    using detail::BatchNormState::BatchNormState;
    Saved factor;  // of the gate
    Tensor dy;     // from when backward has passed the gated result until it comes to the mean
  };
  const auto state = std::make_shared<Shared>(x, weight, bias, running_mean, running_var, options);
  const std::int64_t pixels = x.dim(1) * x.dim(2);
  const double share = 1 / static_cast<double>(pixels);
  const auto sums_of = [state, pixels]<class T>(const Tensor& values, const T* dy, T* sums) {
    for (std::int64_t group = 0; group < state->groups; ++group) {
      const std::int64_t at = state->begin(group);
      detail::run_batch_norm(state->template args<T>(values, group, nullptr, nullptr, {pixels, nullptr, nullptr}),
                             dy ? dy + at : nullptr, sums + at / pixels);
    }
  };
  Tensor mean({x.dim(0), x.dim(3)}, x.dtype()), y(x.shape(), x.dtype());
  dispatch_floating(x.dtype(), "batch_norm", [&]<class T>() {
    T* sums = mean.mutable_data<T>();
    sums_of(x.value(), static_cast<const T*>(nullptr), sums);
    for (std::int64_t i = 0; i < mean.numel(); ++i) sums[i] *= static_cast<T>(share);
  });
  // Both parts of the gradient are put together where the mean's arrives: behind the gate's, and so behind y's.
  const Var pooled =
      record("batch_norm", mean, {x, weight, bias}, [state, pixels, share](const Tensor& dmean, Grads& g) {
        dispatch_floating(dmean.dtype(), "batch_norm", [&]<class T>() {
          Tensor offset(dmean.shape(), dmean.dtype());
          for (std::int64_t i = 0; i < offset.numel(); ++i)
            offset.mutable_data<T>()[i] = dmean.data<T>()[i] * static_cast<T>(share);
          const kernels::SampleGate<T> gates{pixels, state->factor->template data<T>(), offset.data<T>()};
          state->template backward<T>(nullptr, state->dy, g, false, gates);
        });
        state->dy = {};
      });
  const Var factor = gate(pooled);
  FOVEA_CHECK(factor.shape() == mean.shape(), "[batch_norm_excite] the gate gives ", factor.shape(), ", expected ",
              mean.shape());
  state->factor = Saved(factor.value());
  dispatch_floating(x.dtype(), "batch_norm", [&]<class T>() {
    for (std::int64_t group = 0; group < state->groups; ++group) {
      const kernels::SampleGate<T> gates{pixels, factor.value().data<T>(), nullptr};
      detail::run_batch_norm(state->template args<T>(x.value(), group, nullptr, y.mutable_data<T>(), gates));
    }
  });
  return record("excite", y, {factor}, [state, sums_of](const Tensor& dy, Grads& g) {
    state->dy = dy;
    if (!g.wants(0)) return;
    const GradSlot slot = g.into(0);
    Tensor sums = slot.accumulate ? Tensor(slot.tensor.shape(), dy.dtype()) : slot.tensor;
    dispatch_floating(dy.dtype(), "excite", [&]<class T>() {
      sums_of(state->x.restore(), dy.data<T>(), sums.mutable_data<T>());
      for (std::int64_t i = 0; slot.accumulate && i < sums.numel(); ++i) slot.data<T>()[i] += sums.data<T>()[i];
    });
  });
}

}  // namespace fovea::ops
