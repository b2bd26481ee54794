// Vision transformer (Dosovitskiy et al. 2021) with CLIP's and SigLIP's options.
#pragma once

#include <optional>

#include "fovea/nn/conv.h"
#include "fovea/nn/transformer.h"
#include "fovea/ops/patch_tokens.h"
#include "fovea/ops/shape.h"
#include "fovea/ops/tokens.h"

namespace fovea::models {

struct VisionTransformerConfig {
  std::int64_t image_size = 224, patch_size = 32;
  nn::TransformerConfig transformer{768, 12, 12, 3072, Activation::quick_gelu, ops::AttentionKind::full, 1e-5};
  bool class_token = true;  // pool it; without one, the mean of all tokens is pooled
  bool pre_norm = true;     // a layer norm before the blocks (CLIP's `ln_pre`)
  bool patch_bias = false;
  bool map_head = false;     // pool by attention (SigLIP); there is no class token then
  double patch_dropout = 0;  // share of the patches that training passes leave out (FLIP, Li et al. 2023)

  // Patches along a side; what is left over at the right and the bottom is not looked at.
  std::int64_t grid() const { return image_size / patch_size; }
  std::int64_t tokens() const { return grid() * grid() + (class_token ? 1 : 0); }
  // Tokens of a training pass.
  std::int64_t kept() const {
    const auto patches = static_cast<std::int64_t>(static_cast<double>(grid() * grid()) * (1 - patch_dropout));
    return (patches > 1 ? patches : 1) + (class_token ? 1 : 0);
  }
};

// Which rows of `n` pictures' packed tokens a training pass keeps (N * kept) i64: the class token, where there is one,
// and max(1, patches (1 - patch_dropout)) patches of each picture, in order. They depend on ctx.rng and ctx.sample_ids.
FOVEA_API Tensor kept_tokens(const VisionTransformerConfig& config, std::int64_t n, const nn::Ctx& ctx);

// Multi-head attention pooling (Zhai et al. 2022, "Scaling vision transformers", section 3.2): a learned query looks at
// all tokens. Nothing is added to what it sees; then y += MLP(LN y).
struct MapHead {
  nn::Param probe;  // (1, 1, D)
  nn::Attention attention;
  nn::LayerNorm layernorm;
  nn::Mlp mlp;

  MapHead(const nn::TransformerConfig& c, nn::Init& init)
      : probe(init.uniform({1, 1, c.width}, std::sqrt(6.0 / static_cast<double>(1 + c.width))), nn::FileLayout::native,
              false),
        attention(nn::make_attention(c, nn::TransformerInit::big_vision, init)),
        layernorm(c.width, init, c.eps),
        mlp(nn::make_mlp(c, nn::TransformerInit::big_vision, init)) {}

  // (T, D), laid out as ctx.layout -> (B, D).
  Var operator()(const Var& x, const nn::Ctx& ctx) const {
    const Var query = ops::reshape(probe(), {1, x.dim(1)});
    const Var queries = ops::gather_rows(query, zeros({ctx.layout.sequences()}, DType::i64));
    const Var y = attention.attend(queries, x, ctx.layout, ctx);
    return mlp(layernorm(y, ctx), ctx, y);
  }
  static void visit(auto& self, auto&& f) {
    f("probe", self.probe), f("attention", self.attention);
    f("layernorm", self.layernorm), f("mlp", self.mlp);
  }
};

// Images (N, S, S, 3) -> features (N, D).
struct VisionTransformer {
  using Config = VisionTransformerConfig;

  Config config;
  std::optional<nn::Param> class_embedding;   // (D)
  nn::Conv2d patch_embedding;                 // (D, P, P, 3)
  nn::Param position_embedding;               // (tokens, D)
  std::optional<nn::LayerNorm> pre_layrnorm;  // the spelling of the published files
  nn::Transformer encoder;
  nn::LayerNorm post_layernorm;
  std::optional<MapHead> head;

  // Starts as PyTorch's defaults where CLIP leaves them; with a map_head, as big_vision does.
  VisionTransformer(const Config& c, nn::Init& init)
      : config(c),
        patch_embedding(make_patch_embedding(c, init)),
        position_embedding(init.normal({c.tokens(), c.transformer.width}, scale(c)), nn::FileLayout::native, false),
        encoder(c.transformer, c.map_head ? nn::TransformerInit::big_vision : nn::TransformerInit::pytorch, init),
        post_layernorm(c.transformer.width, init, c.transformer.eps) {
    if (c.class_token) class_embedding.emplace(init.normal({c.transformer.width}, scale(c)));
    if (c.pre_norm) pre_layrnorm.emplace(c.transformer.width, init, c.transformer.eps);
    FOVEA_CHECK(!c.map_head || !c.class_token, "[vit] a map_head pools patches, expected no class_token");
    FOVEA_CHECK(c.patch_dropout >= 0 && c.patch_dropout < 1, "[vit] patch_dropout is ", c.patch_dropout,
                ", expected a number of [0, 1)");
    if (c.map_head) head.emplace(c.transformer, init);
  }

  bool projects() const { return config.map_head; }  // whether the features are in the joint space

  std::int64_t features() const { return config.transformer.width; }

  Var operator()(const Var& images, const nn::Ctx& ctx) const {
    if (!class_embedding) return pool(hidden(images, ctx), images.dim(0), ctx);
    const nn::Ctx tokens = packed(images.dim(0), ctx);
    return post_layernorm(encoder(embed(images, ctx), tokens, class_tokens(tokens.layout)), tokens);
  }

  // What the last block gives: (N * tokens, D), the class token first in each picture.
  Var hidden(const Var& images, const nn::Ctx& ctx) const {
    return encoder(embed(images, ctx), packed(images.dim(0), ctx));
  }

  // The norm of the class token, the head of the normed tokens, or their mean: hidden states of `n` pictures -> (n, D).
  Var pool(const Var& x, std::int64_t n, const nn::Ctx& ctx) const {
    const nn::Ctx tokens = packed(n, ctx);
    if (class_embedding) return post_layernorm(ops::gather_rows(x, class_tokens(tokens.layout)), tokens);
    const Var normed = post_layernorm(x, tokens);
    return head ? (*head)(normed, tokens) : ops::segment_mean(normed, tokens.layout);
  }

  static void visit(auto& self, auto&& f) {
    f("embeddings.class_embedding", self.class_embedding);
    f("embeddings.patch_embedding", self.patch_embedding);
    f("embeddings.position_embedding.weight", self.position_embedding);
    f("pre_layrnorm", self.pre_layrnorm);
    f("encoder", self.encoder);
    f("post_layernorm", self.post_layernorm);
    f("head", self.head);
  }

  // Of one image: matrix products only.
  static double flops(const Config& c) {
    const auto patches = static_cast<double>(c.grid() * c.grid()), width = static_cast<double>(c.transformer.width);
    // Keys and values of all patches; query, output and feed-forward block of the probe.
    const double pooling = patches * (4 * width + 4) + 4 * width + 4 * static_cast<double>(c.transformer.hidden);
    return 2 * patches * 3 * static_cast<double>(c.patch_size * c.patch_size) * width +
           nn::Transformer::flops(c.transformer, 1, c.tokens()) + (c.map_head ? width * pooling : 0);
  }

 private:
  // What goes into the first block: (N * tokens, D).
  Var embed(const Var& images, const nn::Ctx& ctx) const {
    FOVEA_CHECK(images.rank() == 4 && images.dim(1) == config.image_size && images.dim(2) == config.image_size,
                "[vit] images are ", images.shape(), ", expected (N, ", config.image_size, ", ", config.image_size,
                ", 3)");
    const std::int64_t n = images.dim(0), patches = config.grid() * config.grid(), width = features();
    const Var grid = ops::reshape(patch_embedding(images, ctx), {n, patches, width});
    Var x = ops::patch_tokens(grid, class_embedding ? (*class_embedding)() : Var(), position_embedding());
    if (drops_patches(ctx)) x = ops::gather_rows(x, kept_tokens(config, n, ctx));
    return pre_layrnorm ? (*pre_layrnorm)(x, ctx) : x;
  }

  static double scale(const Config& c) { return 1 / std::sqrt(static_cast<double>(c.transformer.width)); }

  static nn::Conv2d make_patch_embedding(const Config& c, nn::Init& init) {
    FOVEA_CHECK(c.patch_size > 0 && c.patch_size <= c.image_size, "[vit] patch size ", c.patch_size,
                " does not fit into image size ", c.image_size);
    const int patch = static_cast<int>(c.patch_size);
    const Shape shape{c.transformer.width, c.patch_size, c.patch_size, 3};
    Tensor bias = c.patch_bias ? init.constant({c.transformer.width}, 0) : Tensor();
    Tensor filters = c.map_head ? init.truncated_normal(shape, 1 / std::sqrt(static_cast<double>(shape.inner(0))))
                                : init.linear_default(shape);
    return nn::Conv2d(std::move(filters), {.stride = patch}, std::move(bias));
  }

  bool drops_patches(const nn::Ctx& ctx) const { return ctx.training && config.patch_dropout > 0; }
  nn::Ctx packed(std::int64_t n, const nn::Ctx& ctx) const {
    return ctx.with(PackedLayout::uniform(n, drops_patches(ctx) ? config.kept() : config.tokens()));
  }
  static Tensor class_tokens(const PackedLayout& layout) { return layout.offsets.rows(0, layout.sequences()); }
};

}  // namespace fovea::models
