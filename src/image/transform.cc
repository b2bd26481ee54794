#include "fovea/image/transform.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <type_traits>
#include <utility>
#include <vector>

#include "fovea/core/error.h"
#include "fovea/core/suggest.h"

namespace fovea::image {
namespace {

using Json = nlohmann::ordered_json;

// Names of enumerators in JSON.

template <class E>
struct EnumNames;
template <>
struct EnumNames<Interpolation> {
  static constexpr std::pair<const char*, Interpolation> values[] = {{"bilinear", Interpolation::bilinear},
                                                                     {"bicubic", Interpolation::bicubic}};
};
template <>
struct EnumNames<ResizeMode> {
  static constexpr std::pair<const char*, ResizeMode> values[] = {{"shortest", ResizeMode::shortest},
                                                                  {"squash", ResizeMode::squash}};
};

template <class T, class Struct>
concept Same = std::is_same_v<std::remove_cvref_t<T>, Struct>;

// The fields of each structure, listed once for reading and writing.

void fields(Same<CropAugment> auto& c, auto&& f) { f("scale", c.scale), f("ratio", c.ratio); }
void fields(Same<AffineAugment> auto& c, auto&& f) {
  f("rotation", c.rotation), f("scale", c.scale), f("stretch", c.stretch);
  f("shift", c.shift), f("flip", c.flip), f("fill", c.fill);
}
void fields(Same<ColorAugment> auto& c, auto&& f) {
  f("brightness", c.brightness), f("contrast", c.contrast), f("saturation", c.saturation), f("hue", c.hue);
  f("matrix", c.matrix), f("grayscale", c.grayscale);
}
void fields(Same<Augment> auto& c, auto&& f) { f("crop", c.crop), f("affine", c.affine), f("color", c.color); }
void fields(Same<TransformConfig> auto& c, auto&& f) {
  f("size", c.size), f("interpolation", c.interpolation), f("resize_mode", c.resize_mode);
  f("mean", c.normalization.mean), f("std", c.normalization.std), f("augment", c.augment);
}

// The full name of a key: "augment.crop", or "size" at the top.
std::string join(const std::string& path, const std::string& name) { return path.empty() ? name : path + "." + name; }

template <class T>
void read_value(const Json& json, T& value, const std::string& path);

template <class T>
void read_fields(const Json& json, T& config, const std::string& path) {
  FOVEA_CHECK(json.is_object(), "[transform] ", path.empty() ? "the configuration" : path, " is ", json.dump(),
              ", expected an object");
  std::vector<std::string> known;
  fields(config, [&](const char* name, auto& value) {
    known.emplace_back(name);
    if (json.contains(name)) read_value(json[name], value, join(path, name));
  });
  for (const auto& [key, value] : json.items()) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    const std::string nearest = nearest_name(key, known);
    fail("[transform] unknown key ", join(path, key),
         nearest.empty() ? "" : "\nhint: did you mean " + join(path, nearest) + "?");
  }
}

template <class T>
void read_value(const Json& json, T& value, const std::string& path) {
  if constexpr (requires { EnumNames<T>::values; }) {
    std::string known;
    for (const auto& [name, enumerator] : EnumNames<T>::values) {
      if (json == name) return void(value = enumerator);
      known += (known.empty() ? "" : ", ") + std::string(name);
    }
    fail("[transform] ", path, " is ", json.dump(), ", expected one of ", known);
  } else if constexpr (requires { value.begin(); }) {
    FOVEA_CHECK(json.is_array() && json.size() == value.size(), "[transform] ", path, " is ", json.dump(),
                ", expected a list of ", value.size(), " numbers");
    for (std::size_t i = 0; i < value.size(); ++i) read_value(json[i], value[i], join(path, std::to_string(i)));
  } else if constexpr (std::is_floating_point_v<T>) {
    FOVEA_CHECK(json.is_number(), "[transform] ", path, " is ", json.dump(), ", expected a number");
    value = json.get<T>();
  } else if constexpr (std::is_integral_v<T>) {
    constexpr int limit = std::is_same_v<T, std::uint8_t> ? 255 : 1 << 14;
    FOVEA_CHECK(json.is_number_integer() && json >= 0 && json <= limit, "[transform] ", path, " is ", json.dump(),
                ", expected a whole number from 0 to ", limit);
    value = json.get<T>();
  } else {
    read_fields(json, value, path);
  }
}

template <class T>
Json write_value(const T& value) {
  if constexpr (requires { EnumNames<T>::values; }) {
    for (const auto& [name, enumerator] : EnumNames<T>::values) {
      if (value == enumerator) return name;
    }
    fail("[transform] enumerator ", static_cast<int>(value), " has no name");
  } else if constexpr (std::is_arithmetic_v<T> || requires { value.begin(); }) {
    return value;
  } else {
    Json json = Json::object();
    fields(value, [&](const char* name, const auto& field) { json[name] = write_value(field); });
    return json;
  }
}

Json parse(const std::string& text, const std::string& place) {
  try {
    return Json::parse(text);
  } catch (const Json::parse_error& error) {
    fail("[transform] ", place, " is not JSON: ", error.what());
  }
}

void check_range(const char* key, Range range, double low, double high) {
  FOVEA_CHECK(low < range[0] && range[0] <= range[1] && range[1] <= high, "[transform] ", key, " is [", range[0], ", ",
              range[1], "], expected low <= high, above ", low, " and at most ", high);
}

void check_number(const char* key, double value, double low, double high) {
  FOVEA_CHECK(low <= value && value <= high, "[transform] ", key, " is ", value, ", expected ", low, " to ", high);
}

// Pillow's numbers of its filters, which preprocessor_config.json uses.
constexpr int pillow_bilinear = 2, pillow_bicubic = 3;

// Reads the keys of one preprocessor_config.json.
class Preprocessor {
 public:
  Preprocessor(const std::string& text, const std::string& file) : json_(parse(text, file)), file_(file) {
    FOVEA_CHECK(json_.is_object(), "[transform] ", file, " is not a JSON object");
  }

  TransformConfig read() const {
    TransformConfig config;
    for (const char* step : {"do_resize", "do_rescale", "do_normalize"}) require(step, true);
    read_geometry(config);
    const int resample = static_cast<int>(integer("resample", pillow_bicubic));
    FOVEA_CHECK(resample == pillow_bilinear || resample == pillow_bicubic, place("resample"), " is ", resample,
                ", expected 2 (bilinear) or 3 (bicubic)");
    config.interpolation = resample == pillow_bicubic ? Interpolation::bicubic : Interpolation::bilinear;
    if (json_.contains("rescale_factor")) {
      const Json& factor = json_["rescale_factor"];
      FOVEA_CHECK(factor.is_number() && std::abs(factor.get<double>() * 255 - 1) < 1e-6, place("rescale_factor"),
                  " is ", factor.dump(), ", expected 1/255");
    }
    read_channels("image_mean", config.normalization.mean);
    read_channels("image_std", config.normalization.std);
    return config;
  }

 private:
  std::string place(const std::string& key) const { return "[transform] " + file_ + ": " + key; }

  void require(const char* key, bool expected) const {
    FOVEA_CHECK(!json_.contains(key) || json_[key] == expected, place(key), " is ", json_[key].dump(), ", expected ",
                expected);
  }

  std::int64_t integer(const char* key, std::int64_t otherwise) const {
    if (!json_.contains(key)) return otherwise;
    FOVEA_CHECK(json_[key].is_number_integer(), place(key), " is ", json_[key].dump(), ", expected a whole number");
    return json_[key].get<std::int64_t>();
  }

  // A side in pixels.
  int side(const Json& value, const std::string& key) const {
    FOVEA_CHECK(value.is_number_integer() && value > 0 && value <= 1 << 14, place(key), " is ", value.dump(),
                ", expected a number of pixels");
    return value.get<int>();
  }
  // The side of a square: 224 or {"height": 224, "width": 224}.
  int square(const Json& value, const std::string& key) const {
    if (!value.is_object()) return side(value, key);
    FOVEA_CHECK(value.contains("height") && value.contains("width") && value["height"] == value["width"], place(key),
                " is ", value.dump(), ", expected equal \"height\" and \"width\"");
    return side(value["height"], key);
  }

  void read_geometry(TransformConfig& config) const {
    FOVEA_CHECK(json_.contains("size"), place("size"), " is missing");
    const Json& size = json_["size"];
    const bool crops = !json_.contains("do_center_crop") || json_["do_center_crop"] == true;
    const bool shortest = size.is_object() ? size.contains("shortest_edge") : crops;
    config.resize_mode = shortest ? ResizeMode::shortest : ResizeMode::squash;
    config.size =
        shortest && size.is_object() ? side(size["shortest_edge"], "size.shortest_edge") : square(size, "size");
    if (shortest) require("do_center_crop", true);
    if (!crops || !json_.contains("crop_size")) return;
    const int cropped = square(json_["crop_size"], "crop_size");
    FOVEA_CHECK(cropped == config.size, place("crop_size"), " is ", cropped, " and size is ", config.size,
                ", expected the same");
  }

  void read_channels(const char* key, std::array<double, 3>& channels) const {
    if (json_.contains(key)) read_value(json_[key], channels, file_ + ": " + key);
  }

  Json json_;
  std::string file_;
};

}  // namespace

Image eval_transform(const Image& image, const TransformConfig& config) {
  if (config.resize_mode == ResizeMode::squash) return resize(image, config.size, config.size, config.interpolation);
  return resize_and_center_crop(image, config.size, config.interpolation);
}

Image train_transform(const Image& image, const TransformConfig& config, Rng& rng) {
  const Augment& augment = config.augment;
  Image out = augment.crop.active() ? random_resized_crop(image, config.size, augment.crop, config.interpolation, rng)
                                    : eval_transform(image, config);
  if (augment.affine.active()) {
    out = warp(out, random_affine_map(out.width, out.height, augment.affine, rng), augment.affine.fill);
  }
  jitter_color(out, augment.color, rng);
  return out;
}

void check(const TransformConfig& config) {
  check_number("size", config.size, 1, 1 << 14);
  for (const double std : config.normalization.std) check_number("std", std, 1e-6, 1e6);
  const auto& [crop, affine, color] = config.augment;
  check_range("augment.crop.scale", crop.scale, 0, 1);
  check_range("augment.crop.ratio", crop.ratio, 0, 100);
  check_range("augment.affine.scale", affine.scale, 0, 100);
  check_number("augment.affine.rotation", affine.rotation, 0, 180);
  check_number("augment.affine.stretch", affine.stretch, 0, 10);
  check_number("augment.affine.shift", affine.shift, 0, 1);
  check_number("augment.affine.flip", affine.flip, 0, 1);
  check_number("augment.color.brightness", color.brightness, 0, 10);
  check_number("augment.color.contrast", color.contrast, 0, 10);
  check_number("augment.color.saturation", color.saturation, 0, 10);
  check_number("augment.color.hue", color.hue, 0, 0.5);
  check_number("augment.color.matrix", color.matrix, 0, 10);
  check_number("augment.color.grayscale", color.grayscale, 0, 1);
}

std::string to_json(const TransformConfig& config) { return write_value(config).dump(2); }

TransformConfig parse_transform_config(const std::string& json, const TransformConfig& defaults) {
  TransformConfig config = defaults;
  read_fields(parse(json, "the configuration"), config, "");
  check(config);
  return config;
}

std::string to_preprocessor_json(const TransformConfig& config) {
  const bool shortest = config.resize_mode == ResizeMode::shortest;
  const Json square{{"height", config.size}, {"width", config.size}};
  Json json{{"image_processor_type", "CLIPImageProcessor"}, {"do_convert_rgb", true}, {"do_resize", true}};
  json["size"] = shortest ? Json{{"shortest_edge", config.size}} : square;
  json["resample"] = config.interpolation == Interpolation::bicubic ? pillow_bicubic : pillow_bilinear;
  json["do_center_crop"] = shortest;
  if (shortest) json["crop_size"] = square;
  json["do_rescale"] = true;
  json["rescale_factor"] = 1.0 / 255;
  json["do_normalize"] = true;
  json["image_mean"] = config.normalization.mean;
  json["image_std"] = config.normalization.std;
  return json.dump(2);
}

TransformConfig parse_preprocessor_json(const std::string& json, const std::string& file) {
  TransformConfig config = Preprocessor(json, file).read();
  check(config);
  return config;
}

}  // namespace fovea::image
