#include "fovea/models/bert.h"

namespace fovea::models {
namespace {

constexpr double spread = 0.02;
constexpr std::int64_t no_label = -100;

nn::Linear linear(std::int64_t in, std::int64_t out, nn::Init& init) {
  return nn::Linear(init.normal({out, in}, spread), init.constant({out}, 0));
}

nn::Attention make_attention(const nn::TransformerConfig& c, nn::Init& init) {
  Tensor qkv = init.normal({3 * c.width, c.width}, spread);
  return {std::move(qkv), linear(c.width, c.width, init), c.heads, c.attention, init};
}

nn::Mlp make_mlp(const nn::TransformerConfig& c, nn::Init& init) {
  nn::Linear up = linear(c.width, c.hidden, init);
  return {std::move(up), linear(c.hidden, c.width, init), c.activation};
}

nn::Stack<BertLayer> layers(const BertConfig& config, nn::Init& init) {
  nn::Stack<BertLayer> stack;
  for (std::int64_t i = 0; i < config.transformer.layers; ++i) stack.layers.emplace_back(config, i, init);
  return stack;
}

// The labelled tokens: their rows, and their labels.
struct Labelled {
  std::vector<std::int64_t> rows, labels;

  explicit Labelled(const Tensor& all) {
    for (std::int64_t t = 0; t < all.numel(); ++t) {
      const auto label = static_cast<std::int64_t>(all.at(t));
      if (label == no_label) continue;
      rows.push_back(t);
      labels.push_back(label);
    }
  }
  Tensor tensor(const std::vector<std::int64_t>& values) const {
    return from_values<std::int64_t>({static_cast<std::int64_t>(values.size())}, values);
  }
};

}  // namespace

BertLayer::BertLayer(const BertConfig& config, std::int64_t number, nn::Init& init)
    : attention(make_attention(config.transformer, init)),
      attention_norm(config.transformer.width, init, config.transformer.eps),
      mlp(make_mlp(config.transformer, init)),
      output_norm(config.transformer.width, init, config.transformer.eps),
      dropout(config.dropout),
      key(RngKey{}.derive("bert.layer").derive(static_cast<std::uint64_t>(number))) {}

Bert::Bert(const Config& c, nn::Init& init)
    : config(c),
      word_embeddings(c.vocabulary, c.transformer.width, spread, init),
      position_embeddings(c.context, c.transformer.width, spread, init),
      token_type_embeddings(c.token_types, c.transformer.width, spread, init),
      embeddings_norm(c.transformer.width, init, c.transformer.eps),
      encoder(layers(c, init)) {
  FOVEA_CHECK(c.padding_token >= -1 && c.padding_token < c.vocabulary, "[bert] the padding token is ", c.padding_token,
              ", the vocabulary has ", c.vocabulary, " entries");
  if (c.padding_token >= 0) word_embeddings.weight.value().rows(c.padding_token, c.padding_token + 1).fill(0);
  if (c.pooler) pooler.emplace(linear(c.transformer.width, c.transformer.width, init));
}

BertForMaskedLM::BertForMaskedLM(const Config& c, nn::Init& init)
    : config(c),
      bert(c, init),
      dense(linear(c.transformer.width, c.transformer.width, init)),
      norm(c.transformer.width, init, c.transformer.eps),
      bias(init.constant({c.vocabulary}, 0)) {}

Var BertForMaskedLM::loss(const Tensor& tokens, const Tensor& labels, const nn::Ctx& ctx,
                          const Tensor& token_types) const {
  FOVEA_CHECK(labels.shape() == tokens.shape(), "[bert] there are ", tokens.numel(), " tokens, labels are ",
              labels.shape());
  const Labelled labelled(labels);
  FOVEA_CHECK(!labelled.rows.empty(), "[bert] every label is ", no_label, ", so there is nothing to predict");
  const Var hidden = bert.hidden(tokens, ctx, token_types);
  const Var x = transform(ops::gather_rows(hidden, labelled.tensor(labelled.rows)), ctx);
  return ops::linear_cross_entropy(x, bert.word_embeddings.weight(), bias(), labelled.tensor(labelled.labels));
}

}  // namespace fovea::models
