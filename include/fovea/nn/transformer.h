// Pre-norm transformer encoder.
#pragma once

#include <cmath>
#include <vector>

#include "fovea/autograd/checkpoint.h"
#include "fovea/nn/attention.h"
#include "fovea/nn/layer_norm.h"
#include "fovea/nn/mlp.h"

namespace fovea::nn {

struct TransformerConfig {
  std::int64_t width = 512, layers = 12, heads = 8, hidden = 2048;  // hidden: of the feed-forward block
  Activation activation = Activation::quick_gelu;
  ops::AttentionKind attention = ops::AttentionKind::full;
  double eps = 1e-5;  // of the layer norms
};

// How the matrices of a transformer start.
enum class TransformerInit : std::uint8_t {
  pytorch,    // the defaults of nn.MultiheadAttention and nn.Linear: what CLIP's ViT uses
  clip_text,  // scaled normals of CLIP's text tower (openai/CLIP, `initialize_parameters`)
};

// x += Attention(LN1 x); x += MLP(LN2 x).
struct TransformerBlock {
  LayerNorm layer_norm1;
  Attention self_attn;
  LayerNorm layer_norm2;
  Mlp mlp;

  TransformerBlock(const TransformerConfig& config, TransformerInit scheme, Init& init)
      : layer_norm1(config.width, init, config.eps),
        self_attn(make_attention(config, scheme, init)),
        layer_norm2(config.width, init, config.eps),
        mlp(make_mlp(config, scheme, init)) {}

  Var operator()(const Var& x, const Ctx& ctx) const {
    const Var attended = self_attn(layer_norm1(x, ctx), ctx, x);
    return mlp(layer_norm2(attended, ctx), ctx, attended);
  }
  // As above, of one token of each sequence alone: `rows` (B) are their numbers; (T, D) -> (B, D).
  Var operator()(const Var& x, const Ctx& ctx, const Tensor& rows) const {
    const Var attended = self_attn(layer_norm1(x, ctx), ctx, ops::gather_rows(x, rows), rows);
    return mlp(layer_norm2(attended, ctx), ctx, attended);
  }
  static void visit(auto& self, auto&& f) {
    f("self_attn", self.self_attn), f("layer_norm1", self.layer_norm1);
    f("mlp", self.mlp), f("layer_norm2", self.layer_norm2);
  }

 private:
  static Attention make_attention(const TransformerConfig& c, TransformerInit scheme, Init& init) {
    const std::int64_t d = c.width;
    const auto width = static_cast<double>(d);
    const auto depth = static_cast<double>(c.layers);
    const bool scaled = scheme == TransformerInit::clip_text;
    Tensor qkv = scaled ? init.normal({3 * d, d}, 1 / std::sqrt(width)) : init.xavier_uniform({3 * d, d});
    Tensor out = scaled ? init.normal({d, d}, 1 / std::sqrt(width * 2 * depth)) : init.linear_default({d, d});
    return Attention(std::move(qkv), Linear(std::move(out), init.constant({d}, 0)), c.heads, c.attention, init);
  }
  static Mlp make_mlp(const TransformerConfig& c, TransformerInit scheme, Init& init) {
    Linear up(c.width, c.hidden, init), down(c.hidden, c.width, init);
    if (scheme == TransformerInit::clip_text) {
      const auto width = static_cast<double>(c.width);
      up.weight.value() = init.normal({c.hidden, c.width}, 1 / std::sqrt(2 * width));
      down.weight.value() = init.normal({c.width, c.hidden}, 1 / std::sqrt(width * 2 * static_cast<double>(c.layers)));
    }
    return {std::move(up), std::move(down), c.activation};
  }
};

// Blocks of one kind, one after another, over packed sequences.
template <class Block>
struct Stack {
  std::vector<Block> layers;

  Var operator()(const Var& x, const Ctx& ctx) const { return run(x, ctx, layers.size()); }
  // One token of each sequence alone, `rows` (B) of the result: (T, D) -> (B, D). The last block computes no other.
  Var operator()(const Var& x, const Ctx& ctx, const Tensor& rows) const {
    if (layers.empty() || ctx.every_token) return ops::gather_rows((*this)(x, ctx), rows);
    const Var before = run(x, ctx, layers.size() - 1);
    return through(ctx, before, [layer = layers.back(), ctx, rows](const Var& in) { return layer(in, ctx, rows); });
  }
  static void visit(auto& self, auto&& f) { f("layers", self.layers); }

 private:
  Var run(Var x, const Ctx& ctx, std::size_t count) const {
    for (std::size_t i = 0; i < count; ++i) {
      x = through(ctx, x, [layer = layers[i], ctx](const Var& in) { return layer(in, ctx); });
    }
    return x;
  }
  // f(x), as a checkpoint where those are asked for. f owns what it captures: a copy of a layer shares its parameters.
  template <class F>
  static Var through(const Ctx& ctx, const Var& x, F f) {
    if (!ctx.checkpointing) return f(x);
    return checkpoint([f = std::move(f)](std::span<const Var> in) { return f(in[0]); }, {x});
  }
};

// (T, D) -> (T, D).
struct Transformer : Stack<TransformerBlock> {
  Transformer(const TransformerConfig& config, TransformerInit scheme, Init& init) {
    layers.reserve(static_cast<std::size_t>(config.layers));
    for (std::int64_t i = 0; i < config.layers; ++i) layers.emplace_back(config, scheme, init);
  }

  // Multiplications and additions of one forward pass over `sequences` sequences of `length` tokens each: the matrix
  // products only, two operations per multiply-add.
  static double flops(const TransformerConfig& c, std::int64_t sequences, std::int64_t length) {
    const auto tokens = static_cast<double>(sequences * length);
    const auto d = static_cast<double>(c.width);
    const double products = 2 * tokens * d * (4 * d + 2 * static_cast<double>(c.hidden));
    const double scores = 4 * tokens * static_cast<double>(length) * d;
    return static_cast<double>(c.layers) * (products + scores);
  }
};

}  // namespace fovea::nn
