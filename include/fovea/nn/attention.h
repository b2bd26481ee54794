// Multi-head self-attention.
#pragma once

#include "fovea/nn/linear.h"
#include "fovea/ops/attention.h"

namespace fovea::nn {

// Over packed sequences (ctx.layout): (T, D) -> (T, D). Queries, keys and values are one matrix, so they cost one GEMM;
// files name its three parts apart.
struct Attention {
  Param qkv_weight;  // (3 D, D): q, k, v
  Param qkv_bias;    // (3 D)
  Linear out_proj;
  std::int64_t heads;
  ops::AttentionKind kind;

  Attention(Tensor qkv, Linear out, std::int64_t head_count, ops::AttentionKind attention_kind, Init& init)
      : qkv_weight(std::move(qkv)),
        qkv_bias(init.constant({qkv_weight.shape()[0]}, 0)),
        out_proj(std::move(out)),
        heads(head_count),
        kind(attention_kind) {
    const std::int64_t width = qkv_weight.shape()[1];
    FOVEA_CHECK(heads > 0 && width % heads == 0, "[attention] width ", width, " is not a multiple of ", heads,
                " heads");
  }

  // residual + projection of the attended values.
  Var operator()(const Var& x, const Ctx& ctx, const Var& residual = {}) const {
    const Var qkv = ops::linear(x, qkv_weight(), qkv_bias());
    ops::AttentionOptions options;
    options.layout = ctx.layout;
    options.heads = heads;
    options.kind = kind;
    return out_proj(ops::self_attention(qkv, options), ctx, Activation::none, residual);
  }
  static void visit(auto& self, auto&& f) {
    f({"q_proj.weight", "k_proj.weight", "v_proj.weight"}, self.qkv_weight);
    f({"q_proj.bias", "k_proj.bias", "v_proj.bias"}, self.qkv_bias);
    f("out_proj", self.out_proj);
  }
};

}  // namespace fovea::nn
