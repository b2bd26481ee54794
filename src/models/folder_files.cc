#include "models/folder_files.h"

#include <algorithm>
#include <filesystem>

#include "fovea/image/preprocessor.h"
#include "fovea/io/file.h"
#include "fovea/io/torch_file.h"

namespace fovea::models::detail {

namespace fs = std::filesystem;

namespace {

// The folder's only file that may hold parameters.
std::string only_parameter_file(const std::string& folder) {
  std::vector<std::string> found;
  for (const auto& file : fs::directory_iterator(folder)) {
    const std::string type = file.path().extension().string();
    if (type == ".safetensors" || type == ".bin" || type == ".pt" || type == ".pth") found.push_back(file.path());
  }
  std::sort(found.begin(), found.end());
  FOVEA_CHECK(!found.empty(), "[model] ", folder, " has no file of parameters, expected open_clip_model.safetensors");
  FOVEA_CHECK(found.size() == 1, "[model] ", folder, " has several files of parameters, ", found[0], " and ", found[1],
              "\nhint: name the right one open_clip_model.safetensors, or remove the others");
  return found.front();
}

}  // namespace

bool exists(const std::string& path) {
  std::error_code unknown;
  return fs::exists(path, unknown);
}

ConfigJson read_json(const std::string& path) {
  ConfigJson json = io::detail::parse_json<ConfigJson>(io::read_file(path), "[model] " + path);
  FOVEA_CHECK(json.is_object(), "[model] ", path, " is not a JSON object");
  return json;
}

void write_json(const std::string& path, const ConfigJson& json) { io::write_file(path, json.dump(2) + "\n"); }

// The first of some files that is there, or an empty text.
std::string first_of(const std::string& folder, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (exists(folder + "/" + name)) return folder + "/" + name;
  }
  return "";
}

std::string parameter_file(const std::string& folder, ModelLayout layout) {
  std::string path;
  if (layout == ModelLayout::hf)
    path = first_of(folder, {"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"});
  if (layout == ModelLayout::open_clip) {
    path = first_of(folder, {"open_clip_model.safetensors", "model.safetensors", "open_clip_pytorch_model.bin"});
    if (path.empty()) path = only_parameter_file(folder);
  }
  return path.empty() ? folder + "/model.safetensors" : path;
}

io::TensorMap read_parameters(const std::string& path) {
  if (path.ends_with(".json")) return io::load_sharded_safetensors(path);
  return path.ends_with(".safetensors") ? io::load_safetensors(path) : io::load_torch_state_dict(path);
}

std::string transform_file(const std::string& folder, ModelLayout layout) {
  if (layout == ModelLayout::open_clip) {
    const std::string path = folder + open_clip_config;
    return exists(path) && read_json(path).contains("preprocess_cfg") ? path : "";
  }
  // transformers 5 writes both processors into one file.
  if (layout == ModelLayout::hf) return first_of(folder, {"preprocessor_config.json", "processor_config.json"});
  return first_of(folder, {"preprocessor.json", "processor_config.json"});
}

std::optional<image::TransformConfig> read_transform(const std::string& folder, ModelLayout layout) {
  const std::string path = transform_file(folder, layout);
  if (path.empty()) return {};
  return image::parse_preprocessor_json(io::read_file(path), path);
}

void write_transform(const std::string& folder, ModelLayout layout, const image::TransformConfig& transform) {
  io::write_file(folder + (layout == ModelLayout::hf ? "/preprocessor_config.json" : "/preprocessor.json"),
                 image::to_preprocessor_json(transform));
}

void make_folder(const std::string& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  FOVEA_CHECK(!error, "[model] cannot create ", folder, ": ", error.message());
}

}  // namespace fovea::models::detail
