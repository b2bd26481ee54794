// Position-wise feed-forward block.
#pragma once

#include "fovea/nn/linear.h"

namespace fovea::nn {

// (T, D) -> (T, D).
struct Mlp {
  Linear up, down;
  Activation activation;

  // residual + down(activation(up(x))); the activation runs inside up's GEMM, the sum inside down's.
  Var operator()(const Var& x, const Ctx& ctx, const Var& residual = {}) const {
    return down(up(x, ctx, activation), ctx, Activation::none, residual);
  }
  static void visit(auto& self, auto&& f) { f("fc1", self.up), f("fc2", self.down); }
};

}  // namespace fovea::nn
