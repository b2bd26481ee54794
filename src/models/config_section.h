// Reads published configuration files, key by key. Private to the sources.
#pragma once

#include <string>
#include <utility>

#include "fovea/nn/transformer.h"
#include "io/json_fields.h"

namespace fovea::models::detail {

using ConfigJson = nlohmann::ordered_json;

constexpr io::detail::WholeRange sizes{1, 1 << 19}, token_ids{0, 1 << 30};
constexpr double default_eps = 1e-5;

// One object of a configuration file. Each function throws Error naming file and key for a value that does not fit; a
// key that is missing or null leaves the default.
struct Section {
  const ConfigJson& json;
  io::detail::JsonPlace place;

  Section(const ConfigJson& object, io::detail::JsonPlace where);

  bool has(const char* key) const { return json.contains(key) && !json[key].is_null(); }
  template <class T>
  void read(const char* key, T& value, io::detail::WholeRange range = sizes) const {
    if (has(key)) io::detail::read_value(json[key], value, place / key, range);
  }
  template <class T>
  T get(const char* key, T otherwise, io::detail::WholeRange range = sizes) const {
    read(key, otherwise, range);
    return otherwise;
  }
  std::string text(const char* key, const std::string& otherwise) const;
  // For keys of which only one value can be loaded.
  void require(const char* key, const ConfigJson& only) const;
  void refuse(const char* key) const;
  // A side in pixels: 224, or [224, 224].
  std::int64_t square(const char* key, std::int64_t otherwise) const;
  double eps(const char* key, double otherwise = default_eps) const;
};

// "text_config", in whose place an older "text_config_dict" stands where there is one; an empty section without both.
Section hf_section(const ConfigJson& json, const io::detail::JsonPlace& place, const std::string& name);

// What "hidden_act" calls an activation, `otherwise` where it is missing; and the name to write for one.
Activation hf_activation(const Section& section, const char* otherwise);
const char* hf_activation_name(Activation activation);

// Sizes, activation and eps of a transformer, under the keys that Hugging Face's classes share. What is missing keeps
// the value that `config` has.
nn::TransformerConfig hf_transformer(const Section& section, nn::TransformerConfig config);
ConfigJson hf_transformer_json(const nn::TransformerConfig& config, const char* model_type);

}  // namespace fovea::models::detail
