// EfficientNets alone: how they run as published, and how their folders are written anew.
#include <optional>

#include "fovea/image/preprocessor.h"
#include "fovea/io/file.h"
#include "fovea/nn/parameter_file.h"
#include "fovea/ops/shape.h"
#include "models/efficientnet_configs.h"
#include "models/folder_files.h"
#include "models/model_kinds.h"
#include "models/run_inputs.h"
#include "models/tower_configs.h"

namespace fovea::models::detail {
namespace {

// Google's folders hold an EfficientNetForImageClassification, whose network lies below this name beside a classifier.
constexpr std::string_view inner_prefix = "efficientnet.", classifier_prefix = "classifier.";

EfficientNetConfig read_config(const std::string& folder, ModelLayout layout) {
  const std::string path = folder + "/config.json";
  const ConfigJson json = read_json(path);
  if (layout == ModelLayout::hf) return parse_hf_efficientnet(Section(json, {"[model] " + path + ": ", ""}), true);
  const ImageTower::Config tower = parse_image_tower(json["model"], {"[model] " + path + ": ", "model"});
  return std::get<EfficientNetConfig>(tower);
}

io::TensorMap without_classifier(io::TensorMap file) {
  io::TensorMap inner;
  for (auto& [name, tensor] : file) {
    if (name.starts_with(inner_prefix)) inner.emplace(name.substr(inner_prefix.size()), std::move(tensor));
  }
  if (!inner.empty()) return inner;
  std::erase_if(file, [](const auto& item) { return item.first.starts_with(classifier_prefix); });
  return file;
}

EfficientNet load(const std::string& folder, ModelLayout layout, DType dtype) {
  nn::Init init = nn::Init::none(dtype);
  EfficientNet model(read_config(folder, layout), init);
  const std::string path = parameter_file(folder, layout);
  nn::load_parameters(path, without_classifier(read_parameters(path)), nn::native_tensors(nn::collect(model)));
  return model;
}

}  // namespace

io::TensorMap run_efficientnet(const std::string& folder, ModelLayout layout, const io::TensorMap& tensors,
                               const RunOptions& options) {
  const RunInputs inputs(tensors, {"pixel_values", "cotangent.last_hidden_state", "cotangent.pooler_output"});
  const Tensor* pixels = inputs.find("pixel_values");
  FOVEA_CHECK(pixels != nullptr, "[run_hf] there is no input, expected pixel_values");
  const EfficientNet model = load(folder, layout, options.precision);
  const Var images(run_images(*pixels, pixels->rank() == 4 ? pixels->dim(2) : 0, options.precision));
  const Var grid = model.hidden(images, nn::Ctx{});
  const Var last = ops::transpose(grid, {0, 3, 1, 2}), pooled = ops::global_avg_pool2d(grid);
  io::TensorMap outputs{{"last_hidden_state", last.value()}, {"pooler_output", pooled.value()}};
  Var loss;
  for (const auto& [name, value] : {std::pair{"last_hidden_state", last}, std::pair{"pooler_output", pooled}}) {
    if (const Tensor* weights = inputs.cotangent(name, value.shape())) loss = plus_weighted(loss, value, *weights);
  }
  FOVEA_CHECK(loss.defined() || !options.gradients, "[run_hf] gradients need a loss, which needs an input ",
              "cotangent.pooler_output or cotangent.last_hidden_state");
  if (loss.defined()) add_loss(loss, nn::collect(model), options, outputs);
  return outputs;
}

std::vector<std::string> rewrite_efficientnet(const std::string& from, const std::string& to, ModelLayout layout,
                                              io::FloatFormat floats) {
  FOVEA_CHECK(layout != ModelLayout::open_clip, "[export] open_clip has no efficientnet alone\n",
              "hint: --layout hf or fovea");
  const ModelLayout found = folder_kind(from).layout;
  const EfficientNet model = load(from, found, DType::f32);
  make_folder(to);
  nn::save_parameters(to + "/model.safetensors", nn::native_tensors(nn::collect(model)), floats);
  ConfigJson config;
  if (layout == ModelLayout::hf) {
    config = to_hf_efficientnet(model.config, "efficientnet");
    config["architectures"] = ConfigJson::array({"EfficientNetModel"});
  } else {
    config = {{"format", own_format}, {"model", image_tower_json(model.config)}};
  }
  write_json(to + "/config.json", config);
  const auto transform = read_transform(from, found);
  if (!transform) return {"preprocessor"};
  write_transform(to, layout, *transform);
  return {};
}

}  // namespace fovea::models::detail
