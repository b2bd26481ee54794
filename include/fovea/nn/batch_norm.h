// Batch normalisation.
#pragma once

#include "fovea/nn/ctx.h"
#include "fovea/nn/init.h"
#include "fovea/nn/param.h"
#include "fovea/nn/visit.h"
#include "fovea/ops/batch_norm.h"

namespace fovea::nn {

// Per channel, the last axis (Ioffe & Szegedy 2015): (..., C) -> (..., C). Statistics of the batch in training, or of
// each ctx.virtual_batch samples; running ones otherwise, where the gain is frozen and with ctx.frozen_statistics.
// momentum is the weight of the new batch, as in PyTorch.
struct BatchNorm {
  Param weight, bias;                // (C)
  Buffer running_mean, running_var;  // (C)
  double eps, momentum;

  BatchNorm(std::int64_t channels, Init& init, double gain = 1, double epsilon = 1e-5, double momentum_ = 0.1)
      : weight(init.constant({channels}, gain)),
        bias(init.constant({channels}, 0)),
        running_mean(init.constant({channels}, 0)),
        running_var(init.constant({channels}, 1)),
        eps(epsilon),
        momentum(momentum_) {}

  // activation of (normalised x + residual) in one pass; the residual, which needs none or relu, may be left out.
  Var operator()(const Var& x, const Ctx& ctx, Activation activation = Activation::none,
                 const Var& residual = {}) const {
    return ops::batch_norm(x, weight(), bias(), running_mean.value(), running_var.value(), options(x, ctx, activation),
                           residual);
  }
  // Normalised x through the activation, then squeeze-and-excitation: ops::batch_norm_excite.
  template <class Gate>
  Var excite(const Var& x, const Ctx& ctx, Activation activation, const Gate& gate) const {
    return ops::batch_norm_excite(x, weight(), bias(), running_mean.value(), running_var.value(),
                                  options(x, ctx, activation), gate);
  }
  Var relu(const Var& x, const Ctx& ctx, const Var& residual = {}) const {
    return (*this)(x, ctx, Activation::relu, residual);
  }

  static void visit(auto& self, auto&& f) {
    f("weight", self.weight), f("bias", self.bias);
    f("running_mean", self.running_mean), f("running_var", self.running_var);
  }

 private:
  ops::BatchNormOptions options(const Var& x, const Ctx& ctx, Activation activation) const {
    ops::BatchNormOptions chosen{ctx.training && !ctx.frozen_statistics && !weight.leaf()->frozen,
                                 ctx.update_statistics ? momentum : 0, eps, activation, 1};
    if (chosen.training && ctx.virtual_batch > 0) {
      FOVEA_CHECK(x.dim(0) % ctx.virtual_batch == 0, "[batch_norm] ", x.dim(0),
                  " samples do not divide into virtual batches of ", ctx.virtual_batch);
      chosen.ghost_batches = x.dim(0) / ctx.virtual_batch;
    }
    return chosen;
  }
};

}  // namespace fovea::nn
