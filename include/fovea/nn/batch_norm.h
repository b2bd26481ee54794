// Batch normalisation.
#pragma once

#include "fovea/nn/ctx.h"
#include "fovea/nn/init.h"
#include "fovea/nn/param.h"
#include "fovea/nn/visit.h"
#include "fovea/ops/batch_norm.h"

namespace fovea::nn {

// Per channel, the last axis (Ioffe & Szegedy 2015): (..., C) -> (..., C). Statistics of the batch in training, running
// ones otherwise and where the gain is frozen. momentum is the weight of the new batch, as in PyTorch.
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

  Var operator()(const Var& x, const Ctx& ctx) const { return apply(x, ctx, false, {}); }
  // relu(normalised x + residual) in one pass; the residual may be left out.
  Var relu(const Var& x, const Ctx& ctx, const Var& residual = {}) const { return apply(x, ctx, true, residual); }

  static void visit(auto& self, auto&& f) {
    f("weight", self.weight), f("bias", self.bias);
    f("running_mean", self.running_mean), f("running_var", self.running_var);
  }

 private:
  Var apply(const Var& x, const Ctx& ctx, bool with_relu, const Var& residual) const {
    const bool training = ctx.training && !weight.leaf()->frozen;
    return ops::batch_norm(x, weight(), bias(), running_mean.value(), running_var.value(), training,
                           ctx.update_statistics ? momentum : 0, eps, with_relu, residual);
  }
};

}  // namespace fovea::nn
