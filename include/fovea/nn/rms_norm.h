// Root-mean-square normalisation.
#pragma once

#include "fovea/nn/ctx.h"
#include "fovea/nn/init.h"
#include "fovea/nn/param.h"
#include "fovea/nn/visit.h"
#include "fovea/ops/rms_norm.h"

namespace fovea::nn {

// Over the last axis (Zhang & Sennrich 2019), LLaMA's norm: (..., D) -> (..., D).
struct RmsNorm {
  Param weight;  // (D)
  double eps;

  RmsNorm(std::int64_t width, Init& init, double epsilon = 1e-6) : weight(init.constant({width}, 1)), eps(epsilon) {}

  Var operator()(const Var& x, const Ctx&) const { return ops::rms_norm(x, weight(), eps); }
  static void visit(auto& self, auto&& f) { f("weight", self.weight); }
};

}  // namespace fovea::nn
