// Affine map.
#pragma once

#include <optional>

#include "fovea/nn/ctx.h"
#include "fovea/nn/init.h"
#include "fovea/nn/param.h"
#include "fovea/nn/visit.h"
#include "fovea/ops/linear.h"

namespace fovea::nn {

// (..., in) -> (..., out).
struct Linear {
  Param weight;               // (out, in)
  std::optional<Param> bias;  // (out)

  // Values as PyTorch's nn.Linear starts them.
  Linear(std::int64_t in, std::int64_t out, Init& init, bool with_bias = true)
      : Linear(init.linear_default({out, in}),
               with_bias ? init.uniform({out}, 1 / std::sqrt(static_cast<double>(in))) : Tensor()) {}
  explicit Linear(Tensor weight_value, Tensor bias_value = {}) : weight(std::move(weight_value)) {
    if (bias_value.defined()) bias.emplace(std::move(bias_value));
  }

  // residual + activation(x W^T + b), all in one pass; the residual may be left out.
  Var operator()(const Var& x, const Ctx&, Activation activation = Activation::none, const Var& residual = {}) const {
    return ops::linear(x, weight(), bias ? (*bias)() : Var(), activation, residual);
  }
  static void visit(auto& self, auto&& f) { f("weight", self.weight), f("bias", self.bias); }
};

}  // namespace fovea::nn
