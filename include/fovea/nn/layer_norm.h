// Layer normalisation.
#pragma once

#include "fovea/nn/ctx.h"
#include "fovea/nn/init.h"
#include "fovea/nn/param.h"
#include "fovea/nn/visit.h"
#include "fovea/ops/layer_norm.h"

namespace fovea::nn {

// Over the last axis (Ba et al. 2016): (..., D) -> (..., D).
struct LayerNorm {
  Param weight, bias;  // (D)
  double eps;

  LayerNorm(std::int64_t width, Init& init, double epsilon = 1e-5)
      : weight(init.constant({width}, 1)), bias(init.constant({width}, 0)), eps(epsilon) {}

  Var operator()(const Var& x, const Ctx&) const { return ops::layer_norm(x, weight(), bias(), eps); }
  static void visit(auto& self, auto&& f) { f("weight", self.weight), f("bias", self.bias); }
};

}  // namespace fovea::nn
