// Vision transformer (Dosovitskiy et al. 2021) with CLIP's options.
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

  // Patches along a side; what is left over at the right and the bottom is not looked at.
  std::int64_t grid() const { return image_size / patch_size; }
  std::int64_t tokens() const { return grid() * grid() + (class_token ? 1 : 0); }
};

// Images (N, S, S, 3) -> features (N, D).
struct VisionTransformer {
  using Config = VisionTransformerConfig;
  static constexpr bool projects() { return false; }  // the features still need a projection to the joint space

  Config config;
  std::optional<nn::Param> class_embedding;   // (D)
  nn::Conv2d patch_embedding;                 // (D, P, P, 3)
  nn::Param position_embedding;               // (tokens, D)
  std::optional<nn::LayerNorm> pre_layrnorm;  // the spelling of the published files
  nn::Transformer encoder;
  nn::LayerNorm post_layernorm;

  VisionTransformer(const Config& c, nn::Init& init)
      : config(c),
        patch_embedding(make_patch_embedding(c, init)),
        position_embedding(init.normal({c.tokens(), c.transformer.width}, scale(c)), nn::FileLayout::native, false),
        encoder(c.transformer, nn::TransformerInit::pytorch, init),
        post_layernorm(c.transformer.width, init, c.transformer.eps) {
    if (c.class_token) class_embedding.emplace(init.normal({c.transformer.width}, scale(c)));
    if (c.pre_norm) pre_layrnorm.emplace(c.transformer.width, init, c.transformer.eps);
  }

  std::int64_t features() const { return config.transformer.width; }

  Var operator()(const Var& images, const nn::Ctx& ctx) const {
    if (!class_embedding) return pool(hidden(images, ctx), images.dim(0), ctx);
    const Var x = embed(images, ctx);
    const nn::Ctx tokens = packed(images.dim(0), ctx);
    return post_layernorm(encoder(x, tokens, class_tokens(tokens.layout)), tokens);
  }

  // What the last block gives: (N * tokens, D), the class token first in each picture.
  Var hidden(const Var& images, const nn::Ctx& ctx) const {
    const Var x = embed(images, ctx);
    return encoder(x, packed(images.dim(0), ctx));
  }

  // The norm of the class token, or the mean of the normed tokens: hidden states of `n` pictures -> (n, D).
  Var pool(const Var& x, std::int64_t n, const nn::Ctx& ctx) const {
    const nn::Ctx tokens = packed(n, ctx);
    if (!class_embedding) return ops::segment_mean(post_layernorm(x, tokens), tokens.layout);
    return post_layernorm(ops::gather_rows(x, class_tokens(tokens.layout)), tokens);
  }

  static void visit(auto& self, auto&& f) {
    f("embeddings.class_embedding", self.class_embedding);
    f("embeddings.patch_embedding", self.patch_embedding);
    f("embeddings.position_embedding.weight", self.position_embedding);
    f("pre_layrnorm", self.pre_layrnorm);
    f("encoder", self.encoder);
    f("post_layernorm", self.post_layernorm);
  }

  // Of one image: matrix products only.
  static double flops(const Config& c) {
    const auto patches = static_cast<double>(c.grid() * c.grid());
    return 2 * patches * 3 * static_cast<double>(c.patch_size * c.patch_size * c.transformer.width) +
           nn::Transformer::flops(c.transformer, 1, c.tokens());
  }

 private:
  // What goes into the first block: (N * tokens, D).
  Var embed(const Var& images, const nn::Ctx& ctx) const {
    FOVEA_CHECK(images.rank() == 4 && images.dim(1) == config.image_size && images.dim(2) == config.image_size,
                "[vit] images are ", images.shape(), ", expected (N, ", config.image_size, ", ", config.image_size,
                ", 3)");
    const std::int64_t n = images.dim(0), patches = config.grid() * config.grid(), width = features();
    const Var grid = ops::reshape(patch_embedding(images, ctx), {n, patches, width});
    const Var x = ops::patch_tokens(grid, class_embedding ? (*class_embedding)() : Var(), position_embedding());
    return pre_layrnorm ? (*pre_layrnorm)(x, ctx) : x;
  }

  static double scale(const Config& c) { return 1 / std::sqrt(static_cast<double>(c.transformer.width)); }

  static nn::Conv2d make_patch_embedding(const Config& c, nn::Init& init) {
    FOVEA_CHECK(c.patch_size > 0 && c.patch_size <= c.image_size, "[vit] patch size ", c.patch_size,
                " does not fit into image size ", c.image_size);
    const int patch = static_cast<int>(c.patch_size);
    const Shape shape{c.transformer.width, c.patch_size, c.patch_size, 3};
    Tensor bias = c.patch_bias ? init.constant({c.transformer.width}, 0) : Tensor();
    return nn::Conv2d(init.linear_default(shape), {.stride = patch}, std::move(bias));
  }

  nn::Ctx packed(std::int64_t n, const nn::Ctx& ctx) const {
    return ctx.with(PackedLayout::uniform(n, config.tokens()));
  }
  static Tensor class_tokens(const PackedLayout& layout) { return layout.offsets.rows(0, layout.sequences()); }
};

}  // namespace fovea::models
