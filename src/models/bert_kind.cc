// BERT: how it runs as published, and how its folders are written anew.
#include "fovea/autograd/no_grad.h"
#include "fovea/models/bert_folder.h"
#include "models/model_kinds.h"
#include "models/run_inputs.h"

namespace fovea::models::detail {
namespace {

constexpr std::int64_t no_label = -100;

// Texts, and the segments that their tokens belong to.
struct BertInputs {
  RunInputs named;
  PaddedTexts texts;
  Tensor token_types;  // (T), or undefined
  nn::Ctx ctx;

  BertInputs(const io::TensorMap& tensors, const std::vector<std::string>& known, const BertConfig& config)
      : named(tensors, known),
        texts(ids(), named.find("attention_mask"), config.vocabulary, config.context),
        ctx(nn::Ctx{}.with(texts.layout)) {
    const Tensor* types = named.find("token_type_ids");
    if (types != nullptr) token_types = texts.packed("token_type_ids", *types, config.token_types, 0);
  }

 private:
  const Tensor& ids() const {
    const Tensor* found = named.find("input_ids");
    FOVEA_CHECK(found != nullptr, "[run_hf] there is no input, expected input_ids");
    return *found;
  }
};

io::TensorMap run_model(const Bert& model, const io::TensorMap& tensors, const RunOptions& options) {
  std::vector<std::string> known{"input_ids", "attention_mask", "token_type_ids", "cotangent.last_hidden_state"};
  if (model.pooler) known.emplace_back("cotangent.pooler_output");
  const BertInputs in(tensors, known, model.config);
  const PaddedTexts& texts = in.texts;
  const Var hidden = model.hidden(texts.tokens, in.ctx, in.token_types);
  const Tensor states = texts.unpacked(hidden.value());
  io::TensorMap outputs{{"last_hidden_state", states}};
  Var loss;
  if (const Tensor* weights = in.named.cotangent("last_hidden_state", states.shape()))
    loss = plus_weighted(loss, hidden, texts.packed(*weights));
  if (model.pooler) {
    Tensor rows({texts.count}, DType::i64);
    for (std::int64_t b = 0; b < texts.count; ++b) rows.mutable_data<std::int64_t>()[b] = b * texts.length;
    const Var pooled = model.pooled(ops::gather_rows(hidden, texts.packed_rows(rows)), in.ctx);
    outputs["pooler_output"] = pooled.value();
    if (const Tensor* weights = in.named.cotangent("pooler_output", pooled.shape()))
      loss = plus_weighted(loss, pooled, *weights);
  }
  FOVEA_CHECK(loss.defined() || !options.gradients, "[run_hf] gradients need a loss, which needs an input ",
              "cotangent.pooler_output or cotangent.last_hidden_state");
  if (loss.defined()) add_loss(loss, nn::collect(model), options, outputs);
  return outputs;
}

io::TensorMap run_model(const BertForMaskedLM& model, const io::TensorMap& tensors, const RunOptions& options) {
  const BertInputs in(tensors, {"input_ids", "attention_mask", "token_type_ids", "labels"}, model.config);
  const PaddedTexts& texts = in.texts;
  io::TensorMap outputs;
  {
    const NoGrad nothing_is_recorded;
    outputs["logits"] = texts.unpacked(model(texts.tokens, in.ctx, in.token_types).value());
  }
  const Tensor* labels = in.named.find("labels");
  FOVEA_CHECK(labels != nullptr || !options.gradients, "[run_hf] gradients need a loss, which needs labels");
  if (labels == nullptr) return outputs;
  const Tensor seen = texts.packed("labels", *labels, model.config.vocabulary, no_label);
  std::int64_t labelled = 0;
  for (std::int64_t i = 0; i < labels->numel(); ++i) labelled += labels->at(i) != no_label;
  for (std::int64_t t = 0; t < seen.numel(); ++t) labelled -= seen.at(t) != no_label;
  FOVEA_CHECK(labelled == 0, "[run_hf] labels has ", labelled, " labels where attention_mask is 0, expected ",
              no_label);
  add_loss(model.loss(texts.tokens, seen, in.ctx, in.token_types), nn::collect(model), options, outputs);
  return outputs;
}

}  // namespace

io::TensorMap run_bert(const std::string& folder, ModelLayout layout, const io::TensorMap& inputs,
                       const RunOptions& options) {
  const AnyBert model = load_bert(folder, layout, options.precision);
  return std::visit([&](const auto& any) { return run_model(any, inputs, options); }, model);
}

std::vector<std::string> rewrite_bert(const std::string& from, const std::string& to, ModelLayout layout,
                                      io::FloatFormat floats) {
  const AnyBert model = load_bert(from);
  const auto tokenizer = load_bert_tokenizer(from, model);
  export_bert(to, layout, model, tokenizer ? &*tokenizer : nullptr, floats);
  if (tokenizer) return {};
  return {"tokenizer"};
}

}  // namespace fovea::models::detail
