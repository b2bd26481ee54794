// Models of two towers: how they run as published, and how their folders are written anew.
#include "fovea/autograd/backward.h"
#include "fovea/autograd/no_grad.h"
#include "fovea/models/clip_folder.h"
#include "fovea/objectives/info_nce.h"
#include "fovea/objectives/sigmoid.h"
#include "fovea/ops/matmul.h"
#include "models/model_kinds.h"
#include "models/run_inputs.h"

namespace fovea::models::detail {
namespace {

Var projected(const std::optional<nn::Linear>& projection, const Var& features) {
  return projection ? (*projection)(features, nn::Ctx{}) : features;
}

// Embeddings before they are scaled to unit length; what else the published class returns goes to `outputs`.
Var image_features(const ClipModel& model, const Tensor& pixels, io::TensorMap& outputs) {
  const Var input(run_images(pixels, ImageTower::image_size(model.config.image), model.dtype()));
  const auto* vit = std::get_if<VisionTransformer>(&model.vision_model.tower);
  if (vit == nullptr) return model.encode_image(input, nn::Ctx{});
  const std::int64_t n = input.dim(0);
  const Var hidden = vit->hidden(input, nn::Ctx{});
  const Var features = projected(model.visual_projection, vit->pool(hidden, n, nn::Ctx{}));
  const NoGrad nothing_is_recorded;
  const Var last = vit->head ? vit->post_layernorm(Var(hidden.value()), nn::Ctx{}) : hidden;
  outputs["vision_model_output.last_hidden_state"] = last.value().reshape({n, vit->config.tokens(), last.dim(1)});
  outputs["vision_model_output.pooler_output"] = features.value();
  return features;
}

Var text_features(const ClipModel& model, const Tensor& ids, const Tensor* mask, io::TensorMap& outputs) {
  const PaddedTexts texts(ids, mask, TextTower::vocabulary(model.config.text), TextTower::context(model.config.text));
  const nn::Ctx ctx = nn::Ctx{}.with(texts.layout);
  const auto* transformer = std::get_if<TextTransformer>(&model.text_model.tower);
  if (transformer == nullptr || transformer->config.pool == TextPool::mean)
    return model.encode_text(texts.tokens, texts.layout, ctx);
  // The tokens are chosen among all ids, pads included, as the published code does.
  const Tensor rows = texts.packed_rows(
      pooled_rows(transformer->config, texts.padded, PackedLayout::uniform(texts.count, texts.length)));
  const Var hidden = transformer->hidden(texts.tokens, ctx);
  const Var pooled = transformer->final_layer_norm(ops::gather_rows(hidden, rows), ctx);
  const Var features = projected(model.text_projection, transformer->project(pooled, ctx));
  const NoGrad nothing_is_recorded;
  const Var last = transformer->final_layer_norm(Var(hidden.value()), ctx);
  outputs["text_model_output.last_hidden_state"] = texts.unpacked(last.value());
  outputs["text_model_output.pooler_output"] = features.value();
  return features;
}

Tensor logits(const Var& rows, const Var& columns, const objectives::Embeddings& e) {
  const NoGrad nothing_is_recorded;
  const Var scaled = ops::mul(ops::matmul(rows, columns, false, true), e.scale());
  return (e.logit_bias.defined() ? ops::add(scaled, e.logit_bias) : scaled).value();
}

void add_gradients(const ClipModel& model, const ClipNaming& naming, io::TensorMap& outputs) {
  for (const nn::FileTensor& tensor : clip_file_tensors(model, naming)) {
    if (!tensor.parts.front().leaf->is_buffer()) outputs["grad." + tensor.name] = tensor.gradient();
  }
}

}  // namespace

io::TensorMap run_clip(const std::string& folder, ModelLayout layout, const io::TensorMap& tensors,
                       const RunOptions& options) {
  const RunInputs inputs(tensors, {"pixel_values", "input_ids", "attention_mask"});
  const Tensor *pixels = inputs.find("pixel_values"), *ids = inputs.find("input_ids");
  const Tensor* mask = inputs.find("attention_mask");
  FOVEA_CHECK(ids != nullptr || mask == nullptr, "[run_hf] there is an attention_mask without input_ids");
  FOVEA_CHECK(pixels != nullptr || ids != nullptr, "[run_hf] there is no input, expected pixel_values or input_ids");
  const LoadedClip clip = load_clip_model(folder, layout, options.precision);
  const ClipModel& model = clip.model;

  io::TensorMap outputs;
  objectives::Embeddings e = model.embeddings({}, {});
  if (pixels != nullptr) {
    e.image = ops::l2_normalize(image_features(model, *pixels, outputs));
    outputs["image_embeds"] = e.image.value();
  }
  if (ids != nullptr) {
    e.text = ops::l2_normalize(text_features(model, *ids, mask, outputs));
    outputs["text_embeds"] = e.text.value();
  }
  const bool both = pixels != nullptr && ids != nullptr, paired = both && e.image.dim(0) == e.text.dim(0);
  if (both) {
    outputs["logits_per_image"] = logits(e.image, e.text, e);
    outputs["logits_per_text"] = logits(e.text, e.image, e);
    if (e.logit_bias.defined()) outputs["probs_per_image"] = ops::sigmoid(Var(outputs["logits_per_image"])).value();
  }
  FOVEA_CHECK(paired || !options.gradients, "[run_hf] gradients need a loss",
              both ? concat(": there are ", e.image.dim(0), " pictures and ", e.text.dim(0), " texts")
                   : std::string(", which needs both pixel_values and input_ids"));
  if (!paired) return outputs;
  const Var loss =
      e.logit_bias.defined() ? objectives::Sigmoid{}(e, nn::Ctx{}).total : objectives::InfoNce{}(e, nn::Ctx{}).total;
  outputs["loss"] = loss.value();
  if (!options.gradients) return outputs;
  backward(loss);
  add_gradients(model, clip.naming, outputs);
  return outputs;
}

std::vector<std::string> rewrite_clip(const std::string& from, const std::string& to, ModelLayout layout,
                                      io::FloatFormat floats) {
  LoadedClip clip = load_clip_model(from);
  const auto tokenizer = load_clip_tokenizer(from, clip);
  const auto transform = load_clip_transform(from, clip);
  export_clip(to, layout, clip.model, tokenizer ? &*tokenizer : nullptr, transform ? &*transform : nullptr, floats);
  std::vector<std::string> missing;
  if (!tokenizer) missing.emplace_back("tokenizer");
  if (!transform) missing.emplace_back("preprocessor");
  return missing;
}

}  // namespace fovea::models::detail
