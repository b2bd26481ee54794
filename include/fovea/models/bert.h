// BERT (Devlin et al. 2019): ALIGN's text tower, and a model of its own that predicts masked tokens.
#pragma once

#include <optional>
#include <vector>

#include "fovea/models/packed_tokens.h"
#include "fovea/nn/embedding.h"
#include "fovea/nn/transformer.h"
#include "fovea/ops/dropout.h"
#include "fovea/ops/elementwise.h"
#include "fovea/ops/linear_cross_entropy.h"

namespace fovea::models {

struct BertConfig {
  std::int64_t vocabulary = 30522, context = 512, token_types = 2;
  nn::TransformerConfig transformer{768, 12, 12, 3072, Activation::gelu, ops::AttentionKind::full, 1e-12};
  double dropout = 0;              // of the embeddings and of what every part of a layer adds, in training
  bool pooler = false;             // has the layer of `pooled`, which features do not go through
  std::int64_t padding_token = 0;  // takes no gradient where it is read, as PyTorch's padding_idx; -1: none does so
};

// x = LN(x + Attention(x)); x = LN(x + MLP(x)).
struct BertLayer {
  nn::Attention attention;
  nn::LayerNorm attention_norm;
  nn::Mlp mlp;
  nn::LayerNorm output_norm;
  double dropout;
  RngKey key;  // names the layer in what dropout draws by

  BertLayer(const BertConfig& config, std::int64_t number, nn::Init& init);

  Var operator()(const Var& x, const nn::Ctx& ctx) const {
    const bool drops = ctx.training && dropout > 0;
    const Var attended = drops ? dropped_sum(x, attention(x, ctx), ctx, "attention") : attention(x, ctx, x);
    return feed_forward(attention_norm(attended, ctx), ctx);
  }
  // As above, of one token of each sequence alone: `rows` (B) are their numbers; (T, D) -> (B, D).
  Var operator()(const Var& x, const nn::Ctx& ctx, const Tensor& rows) const {
    nn::Ctx alone = ctx.with(PackedLayout::uniform(rows.numel(), 1));
    alone.layout.sample_ids = ctx.layout.sample_ids;
    const bool drops = ctx.training && dropout > 0;
    const Var own = ops::gather_rows(x, rows);
    const Var attended =
        drops ? dropped_sum(own, attention(x, ctx, {}, rows), alone, "attention") : attention(x, ctx, own, rows);
    return feed_forward(attention_norm(attended, alone), alone);
  }
  static void visit(auto& self, auto&& f) {
    f({"attention.self.query.weight", "attention.self.key.weight", "attention.self.value.weight"},
      self.attention.qkv_weight);
    f({"attention.self.query.bias", "attention.self.key.bias", "attention.self.value.bias"}, self.attention.qkv_bias);
    f("attention.output.dense", self.attention.out_proj), f("attention.output.LayerNorm", self.attention_norm);
    f("intermediate.dense", self.mlp.up), f("output.dense", self.mlp.down), f("output.LayerNorm", self.output_norm);
  }

 private:
  Var feed_forward(const Var& x, const nn::Ctx& ctx) const {
    const bool drops = ctx.training && dropout > 0;
    return output_norm(drops ? dropped_sum(x, mlp(x, ctx), ctx, "output") : mlp(x, ctx, x), ctx);
  }
  Var dropped_sum(const Var& residual, const Var& added, const nn::Ctx& ctx, std::string_view part) const {
    const RngKey own = ctx.rng.derive(key.value).derive(part);
    return ops::add(residual, ops::dropout(added, dropout, own, ctx.layout));
  }
};

// Packed token ids (T) -> features (B, D): the last layer's state of each text's first token, [CLS]. Parameter names
// are those of Hugging Face's BertModel.
struct Bert {
  using Config = BertConfig;
  static constexpr bool projects() { return false; }

  Config config;
  nn::Embedding word_embeddings, position_embeddings, token_type_embeddings;  // (V, D), (context, D), (types, D)
  nn::LayerNorm embeddings_norm;
  nn::Stack<BertLayer> encoder;
  std::optional<nn::Linear> pooler;

  // Matrices and tables start as N(0, 0.02^2), biases as 0, as published. Throws Error when the padding token is not in
  // the vocabulary.
  FOVEA_API Bert(const Config& c, nn::Init& init);

  std::int64_t features() const { return config.transformer.width; }

  // `token_types` (T) i32 or i64 tell the segments of a text apart; undefined: all are 0. Throws Error as
  // check_packed_tokens does, and for a text that is longer than the context.
  Var operator()(const Tensor& tokens, const nn::Ctx& ctx, const Tensor& token_types = {}) const {
    const Var x = embed(tokens, ctx, token_types);
    return encoder(x, ctx, ctx.layout.offsets.rows(0, ctx.layout.sequences()));
  }
  // The last layer's state of every token: (T, D).
  Var hidden(const Tensor& tokens, const nn::Ctx& ctx, const Tensor& token_types = {}) const {
    return encoder(embed(tokens, ctx, token_types), ctx);
  }
  // tanh(W x + b) of features (B, D): what next-sentence prediction and classifiers read. Throws Error without pooler.
  Var pooled(const Var& features, const nn::Ctx& ctx) const {
    FOVEA_CHECK(pooler, "[bert] the model has no pooler");
    return ops::tanh((*pooler)(features, ctx));
  }

  static void visit(auto& self, auto&& f) {
    f("embeddings.word_embeddings", self.word_embeddings);
    f("embeddings.position_embeddings", self.position_embeddings);
    f("embeddings.token_type_embeddings", self.token_type_embeddings);
    f("embeddings.LayerNorm", self.embeddings_norm);
    f("encoder.layer", self.encoder.layers);
    f("pooler.dense", self.pooler);
  }

  // Of one text of `length` tokens: matrix products only.
  static double flops(const Config& c, std::int64_t length) { return nn::Transformer::flops(c.transformer, 1, length); }

 private:
  Var embed(const Tensor& tokens, const nn::Ctx& ctx, const Tensor& token_types) const {
    check_packed_tokens(tokens, ctx.layout);
    FOVEA_CHECK(ctx.layout.max_length() <= config.context, "[bert] a text has ", ctx.layout.max_length(),
                " tokens, the context is ", config.context, "\nhint: truncate texts to the context");
    const Tensor types = token_types.defined() ? token_types : zeros(tokens.shape(), DType::i32);
    FOVEA_CHECK(types.shape() == tokens.shape(), "[bert] there are ", tokens.numel(), " tokens, token types are ",
                types.shape());
    const Var words = ops::embedding(word_embeddings.weight(), tokens, config.padding_token);
    const Var placed = ops::add(words, position_embeddings(ctx.layout.positions, ctx));
    const Var x = embeddings_norm(ops::add(placed, token_type_embeddings(types, ctx)), ctx);
    return ops::dropout(x, config.dropout, ctx.rng.derive("bert.embeddings"), ctx.layout, ctx.training);
  }
};

// A BERT that predicts what masked tokens were; parameter names are those of Hugging Face's BertForMaskedLM. The word
// vectors also are the weights of the last layer.
struct BertForMaskedLM {
  using Config = BertConfig;

  Config config;
  Bert bert;
  nn::Linear dense;
  nn::LayerNorm norm;
  nn::Param bias;  // (V)

  FOVEA_API BertForMaskedLM(const Config& c, nn::Init& init);

  // What each token may be: (T) -> logits (T, V).
  Var operator()(const Tensor& tokens, const nn::Ctx& ctx, const Tensor& token_types = {}) const {
    const Var x = transform(bert.hidden(tokens, ctx, token_types), ctx);
    return ops::linear(x, bert.word_embeddings.weight(), bias());
  }
  // The mean cross entropy of the tokens whose label is not -100: labels (T) i32 or i64 are the right ids, -100
  // elsewhere. Other tokens cost nothing behind the encoder. Throws Error when there is none.
  FOVEA_API Var loss(const Tensor& tokens, const Tensor& labels, const nn::Ctx& ctx,
                     const Tensor& token_types = {}) const;

  static void visit(auto& self, auto&& f) {
    f("bert", self.bert);
    f("cls.predictions.bias", self.bias);
    f("cls.predictions.transform.dense", self.dense);
    f("cls.predictions.transform.LayerNorm", self.norm);
  }

 private:
  Var transform(const Var& x, const nn::Ctx& ctx) const {
    return norm(dense(x, ctx, config.transformer.activation), ctx);
  }
};

}  // namespace fovea::models
