// Continuous bag of words: CLIP's simplest text encoder.
#pragma once

#include "fovea/models/packed_tokens.h"
#include "fovea/nn/embedding.h"
#include "fovea/ops/tokens.h"

namespace fovea::models {

struct CbowConfig {
  std::int64_t vocabulary = 49408, context = 77, width = 512;
  bool special_tokens = false;  // whether the start and end tokens count as words
};

// The layout and ids without each sequence's first and last token; a caption of two or fewer has none left.
struct InnerTokens {
  Tensor ids;
  PackedLayout layout;
};
FOVEA_API InnerTokens drop_special_tokens(const Tensor& tokens, const PackedLayout& layout);

// Packed token ids (T) -> features (B, D): the mean of the tokens' vectors.
struct Cbow {
  using Config = CbowConfig;
  static constexpr bool projects() { return false; }

  Config config;
  nn::Embedding token_embedding;  // (V, D)

  Cbow(const Config& c, nn::Init& init) : config(c), token_embedding(c.vocabulary, c.width, 0.02, init) {}

  std::int64_t features() const { return config.width; }

  Var operator()(const Tensor& tokens, const nn::Ctx& ctx) const {
    check_packed_tokens(tokens, ctx.layout);
    if (config.special_tokens) return ops::segment_mean(token_embedding(tokens, ctx), ctx.layout);
    const InnerTokens inner = drop_special_tokens(tokens, ctx.layout);
    return ops::segment_mean(token_embedding(inner.ids, ctx), inner.layout);
  }

  static void visit(auto& self, auto&& f) { f("embeddings.token_embedding", self.token_embedding); }

  static double flops(const Config&, std::int64_t) { return 0; }  // no matrix product
};

}  // namespace fovea::models
