// The files that model folders of every type have. Private to the sources.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>

#include "fovea/image/transform.h"
#include "fovea/io/safetensors.h"
#include "fovea/models/clip_layouts.h"
#include "models/config_section.h"

namespace fovea::models::detail {

constexpr const char* own_format = "fovea/1";
constexpr const char* open_clip_config = "/open_clip_config.json";

bool exists(const std::string& path);

// Throws Error when the file is not a JSON object.
ConfigJson read_json(const std::string& path);
void write_json(const std::string& path, const ConfigJson& json);

// The first of some files that is there, or an empty text.
std::string first_of(const std::string& folder, std::initializer_list<const char*> names);

// The file that holds the parameters. Throws Error where several of open_clip's may.
std::string parameter_file(const std::string& folder, ModelLayout layout);
io::TensorMap read_parameters(const std::string& path);

// The file that says how pictures are prepared, or an empty text; what it says; and the same written.
std::string transform_file(const std::string& folder, ModelLayout layout);
std::optional<image::TransformConfig> read_transform(const std::string& folder, ModelLayout layout);
void write_transform(const std::string& folder, ModelLayout layout, const image::TransformConfig& transform);

// Throws Error when the folder is not there and cannot be made.
void make_folder(const std::string& folder);

}  // namespace fovea::models::detail
