#include "fovea/models/run_hf.h"

#include <algorithm>
#include <vector>

#include "fovea/autograd/backward.h"
#include "fovea/autograd/no_grad.h"
#include "fovea/core/suggest.h"
#include "fovea/models/clip_folder.h"
#include "fovea/objectives/info_nce.h"
#include "fovea/ops/matmul.h"
#include "fovea/ops/shape.h"
#include "fovea/tensor/factory.h"

namespace fovea::models {
namespace {

bool is_floating(DType dtype) { return dtype == DType::f32 || dtype == DType::f64 || dtype == DType::bf16; }
bool is_whole(DType dtype) { return dtype == DType::i32 || dtype == DType::i64 || dtype == DType::u8; }

// The named inputs of one run.
class Inputs {
 public:
  Inputs(const io::TensorMap& tensors, std::vector<std::string> known) : tensors_(tensors) {
    for (const auto& [name, tensor] : tensors) {
      if (std::find(known.begin(), known.end(), name) != known.end()) continue;
      const std::string nearest = nearest_name(name, known);
      fail("[run_hf] the model has no input \"", name,
           "\"\nhint: ", nearest.empty() ? "its first input is " + known.front() : "did you mean \"" + nearest + "\"?");
    }
  }

  const Tensor* find(const std::string& name) const {
    const auto found = tensors_.find(name);
    return found == tensors_.end() ? nullptr : &found->second;
  }

 private:
  const io::TensorMap& tensors_;
};

// (N, 3, S, S) -> (N, S, S, 3) of the model's type.
Tensor images(const Tensor& pixels, std::int64_t size, DType dtype) {
  FOVEA_CHECK(is_floating(pixels.dtype()) && pixels.rank() == 4 && pixels.dim(0) > 0 && pixels.dim(1) == 3 &&
                  pixels.dim(2) == size && pixels.dim(3) == size,
              "[run_hf] pixel_values is ", to_string(pixels.dtype()), " ", pixels.shape(),
              ", expected floating point (N, 3, ", size, ", ", size, ")");
  return ops::transpose(Var(pixels.to(dtype)), {0, 2, 3, 1}).value();
}

// Padded texts, and the same without pads.
struct Texts {
  Tensor padded;                     // (B * L) i32
  std::int64_t count, length;        // B, L
  Tensor tokens;                     // (T) i32
  PackedLayout layout;               // positions count pads
  std::vector<std::int64_t> places;  // (T) where in `padded` each token stands

  Texts(const Tensor& ids, const Tensor* mask, std::int64_t vocabulary, std::int64_t context) {
    FOVEA_CHECK(is_whole(ids.dtype()) && ids.rank() == 2 && ids.numel() > 0, "[run_hf] input_ids is ",
                to_string(ids.dtype()), " ", ids.shape(), ", expected whole numbers (B, L)");
    count = ids.dim(0);
    length = ids.dim(1);
    FOVEA_CHECK(length <= context, "[run_hf] input_ids has ", length, " tokens a text, the model has ", context,
                " positions");
    FOVEA_CHECK(mask == nullptr || mask->shape() == ids.shape(), "[run_hf] attention_mask is ",
                mask == nullptr ? Shape{} : mask->shape(), ", expected the shape ", ids.shape(), " of input_ids");
    padded = Tensor({ids.numel()}, DType::i32);
    auto* padded_id = padded.mutable_data<std::int32_t>();
    std::vector<std::int64_t> lengths(static_cast<std::size_t>(count), 0);
    for (std::int64_t i = 0; i < ids.numel(); ++i) {
      const double id = ids.at(i), visible = mask == nullptr ? 1 : mask->at(i);
      FOVEA_CHECK(id >= 0 && id < static_cast<double>(vocabulary), "[run_hf] input_ids has ",
                  static_cast<std::int64_t>(id), " at (", i / length, ", ", i % length,
                  "), the model's vocabulary has ", vocabulary, " entries");
      FOVEA_CHECK(visible == 0 || visible == 1, "[run_hf] attention_mask has ", visible, " at (", i / length, ", ",
                  i % length, "), expected 0 or 1");
      padded_id[i] = static_cast<std::int32_t>(id);
      if (visible == 0) continue;
      places.push_back(i);
      ++lengths[static_cast<std::size_t>(i / length)];
    }
    layout = PackedLayout::from_lengths(lengths);
    tokens = Tensor({static_cast<std::int64_t>(places.size())}, DType::i32);
    auto* token = tokens.mutable_data<std::int32_t>();
    auto* position = layout.positions.mutable_data<std::int64_t>();
    for (std::size_t t = 0; t < places.size(); ++t) {
      token[t] = padded_id[places[t]];
      position[t] = places[t] % length;
    }
  }

  // The packed rows of the tokens that stand for the texts. They are chosen among all ids, pads included, as the
  // published code does.
  Tensor pooled(const TextTransformerConfig& config) const {
    Tensor rows = pooled_rows(config, padded, PackedLayout::uniform(count, length));
    auto* row = rows.mutable_data<std::int64_t>();
    for (std::int64_t b = 0; b < count; ++b) {
      const auto found = std::lower_bound(places.begin(), places.end(), row[b]);
      FOVEA_CHECK(found != places.end() && *found == row[b], "[run_hf] text ", b, " is pooled at token ",
                  row[b] % length, ", where attention_mask is 0");
      row[b] = found - places.begin();
    }
    return rows;
  }

  // Packed rows (T, D) at their places in (B, L, D), zeros elsewhere.
  Tensor unpacked(const Tensor& packed) const {
    const std::int64_t width = packed.dim(1);
    Tensor out = zeros({count * length, width}, packed.dtype());
    for (std::size_t t = 0; t < places.size(); ++t) {
      const auto row = static_cast<std::int64_t>(t);
      out.rows(places[t], places[t] + 1).copy_from(packed.rows(row, row + 1));
    }
    return out.reshape({count, length, width});
  }
};

Var projected(const std::optional<nn::Linear>& projection, const Var& features) {
  return projection ? (*projection)(features, nn::Ctx{}) : features;
}

// Embeddings before they are scaled to unit length; what else the published class returns goes to `outputs`.
Var image_features(const ClipModel& model, const Tensor& pixels, io::TensorMap& outputs) {
  const Var input(images(pixels, ImageTower::image_size(model.config.image), model.logit_scale.value().dtype()));
  const auto* vit = std::get_if<VisionTransformer>(&model.vision_model.tower);
  if (vit == nullptr) return model.encode_image(input, nn::Ctx{});
  const std::int64_t n = input.dim(0);
  const Var hidden = vit->hidden(input, nn::Ctx{});
  const Var features = projected(model.visual_projection, vit->pool(hidden, n, nn::Ctx{}));
  outputs["vision_model_output.last_hidden_state"] = hidden.value().reshape({n, vit->config.tokens(), vit->features()});
  outputs["vision_model_output.pooler_output"] = features.value();
  return features;
}

Var text_features(const ClipModel& model, const Tensor& ids, const Tensor* mask, io::TensorMap& outputs) {
  const Texts texts(ids, mask, TextTower::vocabulary(model.config.text), TextTower::context(model.config.text));
  const nn::Ctx ctx = nn::Ctx{}.with(texts.layout);
  const auto* transformer = std::get_if<TextTransformer>(&model.text_model.tower);
  if (transformer == nullptr || transformer->config.pool == TextPool::mean)
    return model.encode_text(texts.tokens, texts.layout, ctx);
  const Tensor rows = texts.pooled(transformer->config);
  const Var hidden = transformer->hidden(texts.tokens, ctx);
  const Var pooled = transformer->final_layer_norm(ops::gather_rows(hidden, rows), ctx);
  const Var features = projected(model.text_projection, pooled);
  const NoGrad nothing_is_recorded;
  const Var last = transformer->final_layer_norm(Var(hidden.value()), ctx);
  outputs["text_model_output.last_hidden_state"] = texts.unpacked(last.value());
  outputs["text_model_output.pooler_output"] = features.value();
  return features;
}

Tensor logits(const Var& rows, const Var& columns, const Var& logit_scale) {
  const NoGrad nothing_is_recorded;
  return ops::mul(ops::matmul(rows, columns, false, true), ops::exp(logit_scale)).value();
}

void add_gradients(const ClipModel& model, const ClipNaming& naming, io::TensorMap& outputs) {
  for (const nn::FileTensor& tensor : clip_file_tensors(model, naming)) {
    if (!tensor.parts.front().leaf->is_buffer()) outputs["grad." + tensor.name] = tensor.gradient();
  }
}

io::TensorMap run_clip(const std::string& folder, ModelLayout layout, const io::TensorMap& tensors,
                       const RunOptions& options) {
  const Inputs inputs(tensors, {"pixel_values", "input_ids", "attention_mask"});
  const Tensor *pixels = inputs.find("pixel_values"), *ids = inputs.find("input_ids");
  const Tensor* mask = inputs.find("attention_mask");
  FOVEA_CHECK(ids != nullptr || mask == nullptr, "[run_hf] there is an attention_mask without input_ids");
  FOVEA_CHECK(pixels != nullptr || ids != nullptr, "[run_hf] there is no input, expected pixel_values or input_ids");
  const LoadedClip clip = load_clip_model(folder, layout, options.precision);
  const ClipModel& model = clip.model;

  io::TensorMap outputs;
  objectives::Embeddings e{{}, {}, model.logit_scale()};
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
    outputs["logits_per_image"] = logits(e.image, e.text, e.logit_scale);
    outputs["logits_per_text"] = logits(e.text, e.image, e.logit_scale);
  }
  FOVEA_CHECK(paired || !options.gradients, "[run_hf] gradients need a loss",
              both ? concat(": there are ", e.image.dim(0), " pictures and ", e.text.dim(0), " texts")
                   : std::string(", which needs both pixel_values and input_ids"));
  if (!paired) return outputs;
  const Var loss = objectives::InfoNce{}(e, nn::Ctx{}).total;
  outputs["loss"] = loss.value();
  if (!options.gradients) return outputs;
  backward(loss);
  add_gradients(model, clip.naming, outputs);
  return outputs;
}

// Who runs which type of model.
struct Runner {
  const char* model_type;
  io::TensorMap (*run)(const std::string& folder, ModelLayout layout, const io::TensorMap& inputs,
                       const RunOptions& options);
};
constexpr Runner runners[]{{"clip", run_clip}};

}  // namespace

io::TensorMap run_hf(const std::string& folder, const io::TensorMap& inputs, const RunOptions& options) {
  FOVEA_CHECK(options.precision == DType::f32 || options.precision == DType::f64, "[run_hf] precision is ",
              to_string(options.precision), ", expected f32 or f64");
  const FolderKind kind = folder_kind(folder, options.layout);
  std::string known;
  for (const Runner& runner : runners) {
    if (kind.model_type == runner.model_type) return runner.run(folder, kind.layout, inputs, options);
    known += concat(known.empty() ? "" : ", ", runner.model_type);
  }
  fail("[run_hf] ", folder, "/config.json has \"model_type\": \"", kind.model_type, "\", expected one of ", known);
}

}  // namespace fovea::models
