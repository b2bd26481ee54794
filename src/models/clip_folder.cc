#include "fovea/models/clip_folder.h"

#include <filesystem>

#include "fovea/io/file.h"
#include "fovea/models/presets.h"
#include "fovea/nn/parameter_file.h"
#include "io/json.h"

namespace fovea::models {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* format = "fovea/1";

// The model that a config.json describes, its values unset.
ClipModel make_model(const std::string& path) {
  const Json json = io::detail::parse_json<Json>(io::read_file(path), "[model] " + path);
  FOVEA_CHECK(json.is_object(), "[model] ", path, " is not a JSON object");
  FOVEA_CHECK(json.contains("format") && json["format"] == format, "[model] ", path, " has no \"format\": \"", format,
              "\"", json.contains("model_type") ? "\nhint: folders of Hugging Face cannot be read yet" : "");
  FOVEA_CHECK(json.contains("model"), "[model] ", path, " has no \"model\"");
  try {
    nn::Init init = nn::Init::none();
    return ClipModel(parse_clip_config(json["model"].dump()), init);
  } catch (const Error& error) {
    fail(error.what(), "\nin ", path);
  }
}

}  // namespace

void save_clip(const std::string& folder, const ClipModel& model, const text::Tokenizer& tokenizer,
               const image::TransformConfig& transform) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  FOVEA_CHECK(!error, "[model] cannot create ", folder, ": ", error.message());
  nn::save_parameters(folder + "/model.safetensors", nn::collect(model));
  tokenizer.save(folder + "/tokenizer.json");
  io::write_file(folder + "/preprocessor.json", image::to_preprocessor_json(transform));
  const Json config{{"format", format}, {"model", Json::parse(to_json(model.config))}};
  io::write_file(folder + "/config.json", config.dump(2) + "\n");
}

ClipFolder load_clip(const std::string& folder) {
  std::error_code unknown;
  FOVEA_CHECK(std::filesystem::is_directory(folder, unknown), "[model] ", folder,
              " is not a folder\nhint: a trained model is the folder `model` inside a run's output");
  const std::string preprocessor = folder + "/preprocessor.json";
  ClipFolder loaded{make_model(folder + "/config.json"), text::Tokenizer::load(folder + "/tokenizer.json"),
                    image::parse_preprocessor_json(io::read_file(preprocessor), preprocessor)};
  const ClipConfig& config = loaded.model.config;
  nn::load_parameters(folder + "/model.safetensors", nn::collect(loaded.model));
  FOVEA_CHECK(loaded.tokenizer.vocabulary_size() <= TextTower::vocabulary(config.text), "[model] ", folder,
              "/tokenizer.json has ", loaded.tokenizer.vocabulary_size(), " entries, the model knows ",
              TextTower::vocabulary(config.text));
  FOVEA_CHECK(loaded.transform.size == ImageTower::image_size(config.image), "[model] ", preprocessor, " gives ",
              loaded.transform.size, " pixels, the model expects ", ImageTower::image_size(config.image));
  return loaded;
}

}  // namespace fovea::models
