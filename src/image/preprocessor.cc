#include "fovea/image/preprocessor.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <string_view>
#include <vector>

#include "io/json_fields.h"

namespace fovea::image {
namespace {

using io::detail::JsonPlace;
using Json = nlohmann::ordered_json;
using Channels = std::array<double, 3>;

constexpr Channels half{0.5, 0.5, 0.5};

// What a class of transformers does where a file does not say otherwise.
struct ProcessorClass {
  std::string_view name;
  bool shortest;         // the default size is a shortest edge
  int size, crop;        // crop 0: no centre crop
  bool int_is_shortest;  // what a size that is one number means
  Interpolation interpolation;
  bool clip_statistics;  // mean and std are CLIP's, otherwise 0.5
  Alpha alpha;
};

constexpr auto bicubic = Interpolation::bicubic, bilinear = Interpolation::bilinear;
constexpr ProcessorClass classes[] = {{"CLIPImageProcessor", true, 224, 224, true, bicubic, true, Alpha::white},
                                      {"ChineseCLIPImageProcessor", true, 224, 224, true, bicubic, true, Alpha::white},
                                      {"LlavaImageProcessor", true, 224, 224, true, bicubic, true, Alpha::white},
                                      {"SiglipImageProcessor", false, 224, 0, true, bicubic, false, Alpha::white},
                                      {"BlipImageProcessor", false, 384, 0, false, bicubic, true, Alpha::white},
                                      {"EfficientNetImageProcessor", false, 346, 0, false, bicubic, false, Alpha::drop},
                                      {"ViTImageProcessor", false, 224, 0, false, bilinear, false, Alpha::drop},
                                      {"DeiTImageProcessor", false, 256, 224, false, bicubic, false, Alpha::drop}};

// Older names, and those of other implementations of the same.
std::string plain_class_name(std::string name) {
  const auto cut = [&name](std::string_view suffix) {
    if (name.ends_with(suffix)) name.resize(name.size() - suffix.size());
  };
  cut("Fast");
  cut("Pil");
  if (name.ends_with("FeatureExtractor")) {
    cut("FeatureExtractor");
    name += "ImageProcessor";
  }
  return name;
}

// A file's object, whose messages name file and key.
class Keys {
 public:
  Keys(const Json& json, const std::string& file) : json_(json), file_(file) {
    FOVEA_CHECK(json.is_object(), "[transform] ", file, " is not a JSON object");
  }

  // Keys with null count as missing, as they do in Python.
  bool has(const char* key) const { return json_.contains(key) && !json_[key].is_null(); }
  const Json& operator[](const char* key) const { return json_[key]; }
  std::string place(const std::string& key) const { return "[transform] " + file_ + ": " + key; }

  bool flag(const char* key, bool otherwise) const {
    if (!has(key)) return otherwise;
    FOVEA_CHECK(json_[key].is_boolean(), place(key), " is ", json_[key].dump(), ", expected true or false");
    return json_[key].get<bool>();
  }
  void require(const char* key, bool expected) const {
    FOVEA_CHECK(flag(key, expected) == expected, place(key), " is ", json_[key].dump(), ", expected ", expected);
  }
  std::string text(const char* key) const {
    if (!has(key)) return "";
    FOVEA_CHECK(json_[key].is_string(), place(key), " is ", json_[key].dump(), ", expected text");
    return json_[key].get<std::string>();
  }
  double number(const char* key, double otherwise) const {
    if (!has(key)) return otherwise;
    FOVEA_CHECK(json_[key].is_number() && json_[key].get<double>() > 0 && json_[key].get<double>() < 1e6, place(key),
                " is ", json_[key].dump(), ", expected a number above 0");
    return json_[key].get<double>();
  }
  // One number for each channel, or one for all.
  void read_channels(const char* key, Channels& channels) const {
    if (!has(key)) return;
    if (json_[key].is_number()) return channels.fill(json_[key].get<double>());
    io::detail::read_value(json_[key], channels, JsonPlace{place(""), key}, {0, 0});
  }
  // A side in pixels.
  int side(const Json& value, const std::string& key) const {
    FOVEA_CHECK(value.is_number_integer() && value > 0 && value <= 1 << 14, place(key), " is ", value.dump(),
                ", expected a number of pixels");
    return value.get<int>();
  }
  // The side of a square: 224, [224, 224] or {"height": 224, "width": 224}.
  int square(const char* key) const {
    const Json& value = json_[key];
    if (value.is_array() && value.size() == 2 && value[0] == value[1]) return side(value[0], key);
    if (!value.is_object()) return side(value, key);
    FOVEA_CHECK(value.contains("height") && value.contains("width") && value["height"] == value["width"], place(key),
                " is ", value.dump(), ", expected equal \"height\" and \"width\"");
    return side(value["height"], key);
  }

 private:
  const Json& json_;
  std::string file_;
};

// Reads a preprocessor_config.json.
class HuggingFaceReader {
 public:
  explicit HuggingFaceReader(const Keys& keys) : keys_(keys), class_(class_of(keys)) {}

  TransformConfig read() const {
    TransformConfig config;
    keys_.require("do_resize", true);
    config.alpha = keys_.flag("do_convert_rgb", class_.alpha == Alpha::white) ? Alpha::white : Alpha::drop;
    config.crop_offset = CropOffset::down;
    config.interpolation = interpolation();
    read_normalization(config.normalization);
    read_geometry(config);
    return config;
  }

 private:
  static const ProcessorClass& class_of(const Keys& keys) {
    const char* key = keys.has("image_processor_type") ? "image_processor_type" : "feature_extractor_type";
    if (!keys.has(key)) {
      FOVEA_CHECK(keys.has("size"), keys.place("size"), " is missing, as is image_processor_type");
      return classes[0];
    }
    const std::string name = plain_class_name(keys.text(key));
    std::vector<std::string> known;
    for (const ProcessorClass& entry : classes) {
      if (entry.name == name) return entry;
      known.emplace_back(entry.name);
    }
    fail(keys.place(key), " is \"", keys.text(key), "\", expected one of ", io::detail::join(known));
  }

  Interpolation interpolation() const {
    if (!keys_.has("resample")) return class_.interpolation;
    const Json& number = keys_["resample"];
    FOVEA_CHECK(number.is_number_integer() && number >= 0 && number <= static_cast<int>(Interpolation::hamming),
                keys_.place("resample"), " is ", number.dump(),
                ", expected 0 (nearest), 1 (lanczos), 2 (bilinear), 3 (bicubic), 4 (box) or 5 (hamming)");
    return static_cast<Interpolation>(number.get<int>());
  }

  // ((x * factor - offset) - mean) / std, of a byte x, in the form (x / 255 - mean') / std'.
  void read_normalization(Normalization& out) const {
    const bool efficient_net = class_.name == "EfficientNetImageProcessor";
    Channels mean = class_.clip_statistics ? out.mean : half, std = class_.clip_statistics ? out.std : half;
    keys_.read_channels("image_mean", mean);
    keys_.read_channels("image_std", std);
    const bool normalizes = keys_.flag("do_normalize", true), rescales = keys_.flag("do_rescale", true);
    double scale = 255 * (rescales ? keys_.number("rescale_factor", 1.0 / 255) : 1);
    if (std::fabs(scale - 1) < 1e-6) scale = 1;
    const double offset = efficient_net && rescales && keys_.flag("rescale_offset", false) ? 1 : 0;
    const bool divides_again = efficient_net && keys_.flag("include_top", true);
    for (std::size_t c = 0; c < 3; ++c) {
      out.mean[c] = (offset + (normalizes ? mean[c] : 0)) / scale;
      out.std[c] = (normalizes ? std[c] : 1) * (divides_again ? std[c] : 1) / scale;
    }
  }

  void read_geometry(TransformConfig& config) const {
    int resized = class_.size;
    bool shortest = class_.shortest;
    if (keys_.has("size")) {
      const Json& size = keys_["size"];
      FOVEA_CHECK(!size.is_object() || !size.contains("longest_edge"), keys_.place("size"), " is ", size.dump(),
                  ", expected {\"height\", \"width\"} or {\"shortest_edge\"}");
      shortest = size.is_object() ? size.contains("shortest_edge") : class_.int_is_shortest && !size.is_array();
      resized =
          shortest && size.is_object() ? keys_.side(size["shortest_edge"], "size.shortest_edge") : keys_.square("size");
    }
    const bool crops = keys_.flag("do_center_crop", class_.crop > 0);
    int cropped = class_.crop > 0 ? class_.crop : 289;  // EfficientNet's, whose default is not to crop
    if (keys_.has("crop_size")) cropped = keys_.square("crop_size");
    const bool pads = keys_.flag("do_pad", false);
    FOVEA_CHECK(!pads || class_.name == "LlavaImageProcessor", keys_.place("do_pad"), " is true, expected false");
    FOVEA_CHECK(crops || pads || !shortest, keys_.place("do_center_crop"),
                " is false, expected true where size is a shortest edge\nhint: pictures of any shape would result");
    FOVEA_CHECK(!crops || cropped <= resized, keys_.place("crop_size"), " is ", cropped,
                ", expected at most the size, ", resized);
    config.resize_mode = pads ? ResizeMode::pad : shortest ? ResizeMode::shortest : ResizeMode::squash;
    config.size = crops ? cropped : resized;
    config.resize_to = config.size == resized ? 0 : resized;
    if (pads) {
      for (std::size_t c = 0; c < 3; ++c) config.fill[c] = mean_color(config, c);
    }
  }

  // LLaVA's int(255 * mean).
  std::uint8_t mean_color(const TransformConfig& config, std::size_t channel) const {
    const double value = config.normalization.mean[channel] * 255;
    FOVEA_CHECK(value >= 0 && value < 256, keys_.place("image_mean"), " is ", config.normalization.mean[channel],
                ", expected a colour from 0 to 1 to pad with");
    return static_cast<std::uint8_t>(value);
  }

  const Keys& keys_;
  const ProcessorClass& class_;
};

// Reads open_clip's preprocess_cfg.
TransformConfig read_open_clip(const Keys& keys, int default_size) {
  TransformConfig config;
  config.size = keys.has("size") ? keys.square("size") : default_size;
  FOVEA_CHECK(!keys.has("mode") || keys["mode"] == "RGB", keys.place("mode"), " is ", keys["mode"].dump(),
              ", expected \"RGB\"");
  const std::string interpolation = keys.text("interpolation");
  const bool known = interpolation.empty() || interpolation == "bicubic" || interpolation == "bilinear" ||
                     interpolation == "random";  // which means bicubic in evaluation
  FOVEA_CHECK(known, keys.place("interpolation"), " is \"", interpolation, "\", expected bicubic, bilinear or random");
  if (interpolation == "bilinear") config.interpolation = bilinear;
  const std::string mode = keys.text("resize_mode");
  FOVEA_CHECK(mode.empty() || mode == "shortest" || mode == "longest" || mode == "squash", keys.place("resize_mode"),
              " is \"", mode, "\", expected shortest, longest or squash");
  if (mode == "longest") config.resize_mode = ResizeMode::longest;
  if (mode == "squash") config.resize_mode = ResizeMode::squash;
  if (keys.has("fill_color")) {
    const Json& fill = keys["fill_color"];
    FOVEA_CHECK(fill.is_number_integer() && fill >= 0 && fill <= 255, keys.place("fill_color"), " is ", fill.dump(),
                ", expected a whole number from 0 to 255");
    config.fill.fill(fill.get<std::uint8_t>());
  }
  keys.read_channels("mean", config.normalization.mean);
  keys.read_channels("std", config.normalization.std);
  return config;
}

// The image tower's size in an open_clip_config.json, or open_clip's default.
int open_clip_size(const Json& json, const Keys& keys) {
  const auto tower = nlohmann::json::json_pointer("/model_cfg/vision_cfg/image_size");
  if (!json.contains(tower)) return TransformConfig().size;
  const Json& size = json[tower];
  const bool pair = size.is_array() && size.size() == 2 && size[0] == size[1];
  return keys.side(pair ? size[0] : size, "model_cfg.vision_cfg.image_size");
}

TransformConfig read_any(const Json& json, const std::string& file) {
  const Keys keys(json, file);
  if (keys.has("fovea")) return parse_transform_config(json["fovea"].dump(), {}, file + ": fovea");
  if (keys.has("image_processor")) return read_any(json["image_processor"], file + ": image_processor");
  if (keys.has("preprocess_cfg")) {
    const std::string inner = file + ": preprocess_cfg";
    return read_open_clip(Keys(json["preprocess_cfg"], inner), open_clip_size(json, keys));
  }
  for (const char* key : {"resize_mode", "interpolation", "fill_color"}) {
    if (keys.has(key)) return read_open_clip(keys, TransformConfig().size);
  }
  return HuggingFaceReader(keys).read();
}

// As Hugging Face's class would write it; nothing when there is none.
std::optional<Json> hugging_face_json(const TransformConfig& config) {
  const bool pads = config.resize_mode == ResizeMode::pad;
  const auto no_color = [](double mean) { return !(mean >= 0 && mean <= 1); };
  const Channels& mean = config.normalization.mean;
  if (config.resize_mode == ResizeMode::longest || (pads && std::any_of(mean.begin(), mean.end(), no_color))) return {};
  const bool squash = config.resize_mode == ResizeMode::squash, crops = !squash || config.resize_to > config.size;
  const int resized = std::max(config.resize_to, config.size);
  const auto square = [](int side) { return Json{{"height", side}, {"width", side}}; };
  const char* name = pads ? "LlavaImageProcessor" : crops ? "CLIPImageProcessor" : "SiglipImageProcessor";
  Json json{{"image_processor_type", name}, {"do_convert_rgb", true}};
  if (pads) json["do_pad"] = true;
  json["do_resize"] = true;
  json["size"] = squash ? square(resized) : Json{{"shortest_edge", resized}};
  json["resample"] = static_cast<int>(config.interpolation);
  if (crops || pads) json["do_center_crop"] = crops;
  if (crops) json["crop_size"] = square(config.size);
  json["do_rescale"] = true;
  json["rescale_factor"] = 1.0 / 255;
  json["do_normalize"] = true;
  json["image_mean"] = config.normalization.mean;
  json["image_std"] = config.normalization.std;
  return json;
}

}  // namespace

std::string to_preprocessor_json(const TransformConfig& config) {
  TransformConfig evaluation = config;
  evaluation.augment = {};
  Json own = Json::parse(to_json(evaluation));
  own.erase("augment");
  std::optional<Json> json = hugging_face_json(config);
  if (!json) return Json{{"fovea", own}}.dump(2);
  if (to_json(HuggingFaceReader(Keys(*json, "")).read()) != to_json(evaluation)) (*json)["fovea"] = own;
  return json->dump(2);
}

std::string to_preprocess_cfg(const TransformConfig& config) {
  const Json own = Json::parse(to_json(config));
  const auto refuse = [&](bool wrong, const char* key, const char* expected) {
    FOVEA_CHECK(!wrong, "[transform] ", key, " is ", own[key].dump(), ", open_clip has only ", expected);
  };
  const Interpolation interpolation = config.interpolation;
  refuse(interpolation != bicubic && interpolation != bilinear, "interpolation", "bicubic and bilinear");
  refuse(config.resize_mode == ResizeMode::pad, "resize_mode", "shortest, longest and squash");
  refuse(config.resize_to > config.size, "resize_to", "one size");
  const bool gray = config.fill[0] == config.fill[1] && config.fill[1] == config.fill[2];
  refuse(config.resize_mode == ResizeMode::longest && !gray, "fill", "one number for all channels");
  Json json{{"mode", "RGB"}};
  for (const char* key : {"size", "mean", "std", "interpolation", "resize_mode"}) json[key] = own[key];
  json["fill_color"] = gray ? config.fill[0] : 0;
  return json.dump(2);
}

TransformConfig parse_preprocessor_json(const std::string& json, const std::string& file) {
  const TransformConfig config = read_any(io::detail::parse_json<Json>(json, "[transform] " + file), file);
  try {
    check(config);
  } catch (const Error& error) {
    fail(error.what(), "\nin ", file);
  }
  return config;
}

}  // namespace fovea::image
