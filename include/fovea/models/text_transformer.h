// Text transformer of CLIP (Radford et al. 2021, section 2.4) and of SigLIP (Zhai et al. 2023).
#pragma once

#include <optional>

#include "fovea/models/packed_tokens.h"
#include "fovea/nn/embedding.h"
#include "fovea/nn/transformer.h"
#include "fovea/ops/elementwise.h"
#include "fovea/ops/tokens.h"

namespace fovea::models {

// Which token, or which mean, stands for a caption.
enum class TextPool : std::uint8_t {
  eot,        // the first largest token id: the end-of-text token has the largest
  end_token,  // the first token that is `end_token`, or the first token where there is none
  last,       // the last token
  first,      // the first token
  mean,       // the mean over all tokens
};

struct TextTransformerConfig {
  std::int64_t vocabulary = 49408, context = 77;
  nn::TransformerConfig transformer{512, 12, 8, 2048, Activation::quick_gelu, ops::AttentionKind::causal, 1e-5};
  TextPool pool = TextPool::eot;
  std::int64_t end_token = 49407;         // of the pool of that name
  std::optional<std::int64_t> pad_token;  // captions are filled up to the context with it, and it counts as any other
  bool head = false;                      // ends in the joint space, by a projection with a bias
  std::int64_t embed = 512;               // width of the joint space, for the head
};

// Rows of the packed tokens that the configuration's pool (not mean) picks: (B) i64. Throws Error as
// check_packed_tokens does.
FOVEA_API Tensor pooled_rows(const TextTransformerConfig& config, const Tensor& tokens, const PackedLayout& layout);

// Packed token ids (T) -> features (B, D).
struct TextTransformer {
  using Config = TextTransformerConfig;

  Config config;
  nn::Embedding token_embedding;  // (V, D)
  nn::Param position_embedding;   // (context, D)
  nn::Transformer encoder;
  nn::LayerNorm final_layer_norm;
  std::optional<nn::Linear> head;  // (E, D)

  // Starts as CLIP's; with a head, as big_vision's.
  TextTransformer(const Config& c, nn::Init& init)
      : config(c),
        token_embedding(c.vocabulary, c.transformer.width, c.head ? scale(c) : 0.02, init),
        position_embedding(init.normal({c.context, c.transformer.width}, c.head ? scale(c) : 0.01),
                           nn::FileLayout::native, false),
        encoder(c.transformer, c.head ? nn::TransformerInit::big_vision : nn::TransformerInit::clip_text, init),
        final_layer_norm(c.transformer.width, init, c.transformer.eps) {
    if (c.head) {
      head.emplace(init.truncated_normal({c.embed, c.transformer.width}, scale(c)), init.constant({c.embed}, 0));
    }
  }

  bool projects() const { return config.head; }  // whether the features are in the joint space
  std::int64_t features() const { return config.head ? config.embed : config.transformer.width; }

  Var operator()(const Tensor& tokens, const nn::Ctx& ctx) const {
    const auto pooled = [&] {
      if (config.pool == TextPool::mean)
        return ops::segment_mean(final_layer_norm(hidden(tokens, ctx), ctx), ctx.layout);
      return final_layer_norm(encoder(embed(tokens, ctx), ctx, pooled_rows(config, tokens, ctx.layout)), ctx);
    };
    return project(pooled(), ctx);
  }

  // Pooled states (B, D) -> features.
  Var project(const Var& pooled, const nn::Ctx& ctx) const { return head ? (*head)(pooled, ctx) : pooled; }

  // What the last block gives: (T, D).
  Var hidden(const Tensor& tokens, const nn::Ctx& ctx) const { return encoder(embed(tokens, ctx), ctx); }

  static void visit(auto& self, auto&& f) {
    f("embeddings.token_embedding", self.token_embedding);
    f("embeddings.position_embedding.weight", self.position_embedding);
    f("encoder", self.encoder);
    f("final_layer_norm", self.final_layer_norm);
    f("head", self.head);
  }

  // Of one caption of `length` tokens: matrix products only.
  static double flops(const Config& c, std::int64_t length) {
    const auto head_size = static_cast<double>(c.transformer.width * c.embed);
    return nn::Transformer::flops(c.transformer, 1, c.pad_token ? c.context : length) + (c.head ? 2 * head_size : 0);
  }

 private:
  static double scale(const Config& c) { return 1 / std::sqrt(static_cast<double>(c.transformer.width)); }

  // What goes into the first block: (T, D).
  Var embed(const Tensor& tokens, const nn::Ctx& ctx) const {
    check_packed_tokens(tokens, ctx.layout);
    FOVEA_CHECK(ctx.layout.max_length() <= config.context, "[text_transformer] a caption has ", ctx.layout.max_length(),
                " tokens, the context is ", config.context, "\nhint: truncate captions to the context");
    const Var embedded = token_embedding(tokens, ctx);
    return ops::add(embedded, ops::embedding(position_embedding(), ctx.layout.positions));
  }
};

}  // namespace fovea::models
