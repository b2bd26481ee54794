// Convolution.
#pragma once

#include <optional>

#include "fovea/nn/ctx.h"
#include "fovea/nn/init.h"
#include "fovea/nn/param.h"
#include "fovea/nn/visit.h"
#include "fovea/ops/conv.h"

namespace fovea::nn {

// (N, H, W, C) -> (N, H', W', O).
struct Conv2d {
  Param weight;               // (O, KH, KW, C / groups); OIHW in files
  std::optional<Param> bias;  // (O)
  ops::Conv2dOptions options;

  Conv2d(Tensor weight_value, ops::Conv2dOptions opts = {}, Tensor bias_value = {})
      : weight(std::move(weight_value), FileLayout::oihw), options(opts) {
    if (bias_value.defined()) bias.emplace(std::move(bias_value));
  }

  Var operator()(const Var& x, const Ctx&) const { return ops::conv2d(x, weight(), bias ? (*bias)() : Var(), options); }
  static void visit(auto& self, auto&& f) { f("weight", self.weight), f("bias", self.bias); }
};

}  // namespace fovea::nn
