// Pre-norm transformer encoder.
#pragma once

#include <cmath>
#include <optional>
#include <vector>

#include "fovea/autograd/checkpoint.h"
#include "fovea/nn/attention.h"
#include "fovea/nn/layer_norm.h"
#include "fovea/nn/mlp.h"
#include "fovea/ops/elementwise.h"

namespace fovea::nn {

struct TransformerConfig {
  std::int64_t width = 512, layers = 12, heads = 8, hidden = 2048;  // hidden: of the feed-forward block
  Activation activation = Activation::quick_gelu;
  ops::AttentionKind attention = ops::AttentionKind::full;
  double eps = 1e-5;       // of the layer norms
  double layer_scale = 0;  // when positive, what the learned factors on both branches of a block start at
};

// How the matrices of a transformer start.
enum class TransformerInit : std::uint8_t {
  pytorch,     // the defaults of nn.MultiheadAttention and nn.Linear: what CLIP's ViT uses
  clip_text,   // scaled normals of CLIP's text tower (openai/CLIP, `initialize_parameters`)
  big_vision,  // Glorot-uniform, biases of feed-forward blocks N(0, 1e-6) (google-research/big_vision, models/vit.py)
};

// Feed-forward block of a transformer of that configuration.
inline Mlp make_mlp(const TransformerConfig& c, TransformerInit scheme, Init& init) {
  Linear up(c.width, c.hidden, init), down(c.hidden, c.width, init);
  const auto width = static_cast<double>(c.width);
  if (scheme == TransformerInit::clip_text) {
    up.weight.value() = init.normal({c.hidden, c.width}, 1 / std::sqrt(2 * width));
    down.weight.value() = init.normal({c.width, c.hidden}, 1 / std::sqrt(width * 2 * static_cast<double>(c.layers)));
  }
  if (scheme == TransformerInit::big_vision) {
    for (Linear* linear : {&up, &down}) {
      linear->weight.value() = init.xavier_uniform(linear->weight.shape());
      linear->bias->value() = init.normal(linear->bias->shape(), 1e-6);
    }
  }
  return {std::move(up), std::move(down), c.activation};
}

// Attention of a transformer of that configuration.
inline Attention make_attention(const TransformerConfig& c, TransformerInit scheme, Init& init) {
  const std::int64_t d = c.width;
  const auto width = static_cast<double>(d), depth = static_cast<double>(c.layers);
  Tensor qkv, out;
  switch (scheme) {
    case TransformerInit::pytorch:
      qkv = init.xavier_uniform({3 * d, d});
      out = init.linear_default({d, d});
      break;
    case TransformerInit::clip_text:
      qkv = init.normal({3 * d, d}, 1 / std::sqrt(width));
      out = init.normal({d, d}, 1 / std::sqrt(width * 2 * depth));
      break;
    case TransformerInit::big_vision:
      qkv = init.uniform({3 * d, d}, std::sqrt(3 / width));  // queries, keys and values are matrices of their own
      out = init.xavier_uniform({d, d});
      break;
  }
  return Attention(std::move(qkv), Linear(std::move(out), init.constant({d}, 0)), c.heads, c.attention, init);
}

// One learned factor per channel (Touvron et al. 2021, section 2.1).
struct LayerScale {
  Param gamma;  // (D)

  static void visit(auto& self, auto&& f) { f("gamma", self.gamma); }
};

// x += Attention(LN1 x); x += MLP(LN2 x); with a layer scale, both sums' second terms times their factors.
struct TransformerBlock {
  LayerNorm layer_norm1;
  Attention self_attn;
  LayerNorm layer_norm2;
  Mlp mlp;
  std::optional<LayerScale> ls_1, ls_2;

  TransformerBlock(const TransformerConfig& config, TransformerInit scheme, Init& init)
      : layer_norm1(config.width, init, config.eps),
        self_attn(make_attention(config, scheme, init)),
        layer_norm2(config.width, init, config.eps),
        mlp(make_mlp(config, scheme, init)) {
    if (config.layer_scale <= 0) return;
    ls_1.emplace(Param(init.constant({config.width}, config.layer_scale)));
    ls_2.emplace(Param(init.constant({config.width}, config.layer_scale)));
  }

  Var operator()(const Var& x, const Ctx& ctx) const {
    const Var attended =
        plus(x, ls_1, [&](const Var& residual) { return self_attn(layer_norm1(x, ctx), ctx, residual); });
    return feed_forward(attended, ctx);
  }
  // As above, of one token of each sequence alone: `rows` (B) are their numbers; (T, D) -> (B, D).
  Var operator()(const Var& x, const Ctx& ctx, const Tensor& rows) const {
    const Var attended = plus(ops::gather_rows(x, rows), ls_1,
                              [&](const Var& residual) { return self_attn(layer_norm1(x, ctx), ctx, residual, rows); });
    return feed_forward(attended, ctx);
  }
  static void visit(auto& self, auto&& f) {
    f("self_attn", self.self_attn), f("layer_norm1", self.layer_norm1);
    f("mlp", self.mlp), f("layer_norm2", self.layer_norm2);
    f("ls_1", self.ls_1), f("ls_2", self.ls_2);
  }

 private:
  Var feed_forward(const Var& x, const Ctx& ctx) const {
    return plus(x, ls_2, [&](const Var& residual) { return mlp(layer_norm2(x, ctx), ctx, residual); });
  }
  // x + scale branch, where branch(residual) adds the residual it is given.
  template <class Branch>
  static Var plus(const Var& x, const std::optional<LayerScale>& scale, const Branch& branch) {
    return scale ? ops::add(x, ops::mul(branch(Var()), scale->gamma())) : branch(x);
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
