// Multi-head self-attention.
#pragma once

#include "fovea/nn/linear.h"
#include "fovea/ops/attention.h"
#include "fovea/ops/shape.h"
#include "fovea/ops/tokens.h"

namespace fovea::nn {

// What one token of each sequence sees: all of it, or in causal attention what is not behind it.
struct FOVEA_API SeenTokens {
  bool all = true;      // every token of the batch is seen
  Tensor rows;          // numbers of the seen tokens; undefined where all are
  PackedLayout layout;  // of the seen tokens

  // Throws Error unless `rows` (B) i64 has a token of each sequence, in order.
  SeenTokens(ops::AttentionKind kind, const PackedLayout& packed, const Tensor& query_rows);
};

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
  // Of some tokens alone, one of each sequence: `rows` (B) are their numbers. Keys and values are still those of all
  // tokens that they see: (T, D) -> (B, D). `residual` is (B, D).
  Var operator()(const Var& x, const Ctx& ctx, const Var& residual, const Tensor& rows) const {
    const SeenTokens seen(kind, ctx.layout, rows);
    return attend(ops::gather_rows(x, rows), seen.all ? x : ops::gather_rows(x, seen.rows), seen.layout, ctx, residual);
  }
  // Of one query (B, D) for each sequence of `layout`, whose tokens (T, D) it sees: -> (B, D).
  Var attend(const Var& queries, const Var& tokens, const PackedLayout& layout, const Ctx& ctx,
             const Var& residual = {}) const {
    const std::int64_t width = tokens.dim(1);
    const auto part = [&](const Var& input, std::int64_t first, std::int64_t count) {
      return ops::linear(input, ops::slice(qkv_weight(), 0, first * width, (first + count) * width),
                         ops::slice(qkv_bias(), 0, first * width, (first + count) * width));
    };
    ops::AttentionOptions options;
    options.layout = PackedLayout::uniform(queries.dim(0), 1);
    options.kv_layout = layout;
    options.heads = heads;
    const Var attended = ops::cross_attention(part(queries, 0, 1), part(tokens, 1, 2), options);
    return out_proj(attended, ctx, Activation::none, residual);
  }
  static void visit(auto& self, auto&& f) {
    f({"q_proj.weight", "k_proj.weight", "v_proj.weight"}, self.qkv_weight);
    f({"q_proj.bias", "k_proj.bias", "v_proj.bias"}, self.qkv_bias);
    f("out_proj", self.out_proj);
  }
};

}  // namespace fovea::nn
