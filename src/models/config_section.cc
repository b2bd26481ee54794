#include "models/config_section.h"

#include <array>
#include <vector>

namespace fovea::models::detail {
namespace {

constexpr std::pair<const char*, Activation> hf_activations[]{{"quick_gelu", Activation::quick_gelu},
                                                              {"gelu", Activation::gelu},
                                                              {"gelu_python", Activation::gelu},
                                                              {"gelu_pytorch_tanh", Activation::gelu_tanh},
                                                              {"gelu_new", Activation::gelu_tanh},
                                                              {"gelu_fast", Activation::gelu_tanh},
                                                              {"gelu_accurate", Activation::gelu_tanh},
                                                              {"gelu_python_tanh", Activation::gelu_tanh},
                                                              {"relu", Activation::relu},
                                                              {"silu", Activation::silu},
                                                              {"swish", Activation::silu}};

}  // namespace

Section::Section(const ConfigJson& object, io::detail::JsonPlace where) : json(object), place(std::move(where)) {
  if (!json.is_object()) place.fail_with(json, "an object");
}

std::string Section::text(const char* key, const std::string& otherwise) const {
  if (!has(key)) return otherwise;
  if (!json[key].is_string()) (place / key).fail_with(json[key], "text");
  return json[key].get<std::string>();
}

void Section::require(const char* key, const ConfigJson& only) const {
  if (has(key) && json[key] != only) (place / key).fail_with(json[key], only.dump() + ", the only value supported");
}

void Section::refuse(const char* key) const {
  if (has(key) && json[key] != false) (place / key).fail_with(json[key], "nothing: it is not supported");
}

std::int64_t Section::square(const char* key, std::int64_t otherwise) const {
  if (!has(key) || !json[key].is_array()) return get(key, otherwise);
  std::array<std::int64_t, 2> sides{};
  read(key, sides);
  if (sides[0] != sides[1]) (place / key).fail_with(json[key], "a square");
  return sides[0];
}

double Section::eps(const char* key, double otherwise) const {
  const double value = get(key, otherwise);
  if (!(value > 0 && value < 1)) (place / key).fail_with(json[key], "a small positive number");
  return value;
}

Section hf_section(const ConfigJson& json, const io::detail::JsonPlace& place, const std::string& name) {
  static const ConfigJson empty = ConfigJson::object();
  for (const std::string& key : {name + "_dict", name}) {
    if (json.contains(key) && !json[key].is_null()) return {json[key], place / key};
  }
  return {empty, place / name};
}

Activation hf_activation(const Section& section, const char* otherwise) {
  const std::string name = section.text("hidden_act", otherwise);
  std::vector<std::string> known;
  for (const auto& [published, activation] : hf_activations) {
    if (name == published) return activation;
    known.emplace_back(published);
  }
  (section.place / "hidden_act").fail_with(section.json["hidden_act"], "one of " + io::detail::join(known));
}

const char* hf_activation_name(Activation activation) {
  for (const auto& [published, own] : hf_activations) {
    if (own == activation) return published;
  }
  fail("[model] Hugging Face has no name for this activation");
}

nn::TransformerConfig hf_transformer(const Section& section, nn::TransformerConfig config) {
  section.read("hidden_size", config.width);
  section.read("intermediate_size", config.hidden);
  section.read("num_hidden_layers", config.layers);
  section.read("num_attention_heads", config.heads);
  config.activation = hf_activation(section, hf_activation_name(config.activation));
  config.eps = section.eps("layer_norm_eps", config.eps);
  return config;
}

ConfigJson hf_transformer_json(const nn::TransformerConfig& c, const char* model_type) {
  return {{"model_type", model_type},       {"hidden_size", c.width},
          {"intermediate_size", c.hidden},  {"num_hidden_layers", c.layers},
          {"num_attention_heads", c.heads}, {"hidden_act", hf_activation_name(c.activation)},
          {"layer_norm_eps", c.eps}};
}

}  // namespace fovea::models::detail
