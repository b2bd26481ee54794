#include "fovea/image/transform.h"

#include "io/json_fields.h"

namespace fovea::io::detail {

template <>
struct EnumNames<image::Interpolation> {
  static constexpr std::pair<const char*, image::Interpolation> values[] = {
      {"bilinear", image::Interpolation::bilinear}, {"bicubic", image::Interpolation::bicubic}};
};
template <>
struct EnumNames<image::ResizeMode> {
  static constexpr std::pair<const char*, image::ResizeMode> values[] = {{"shortest", image::ResizeMode::shortest},
                                                                         {"squash", image::ResizeMode::squash}};
};

}  // namespace fovea::io::detail

namespace fovea::image {

using io::detail::JsonPlace;
using io::detail::Same;
using Json = nlohmann::ordered_json;

static void fields(Same<CropAugment> auto& c, auto&& f) { f("scale", c.scale), f("ratio", c.ratio); }
static void fields(Same<AffineAugment> auto& c, auto&& f) {
  f("rotation", c.rotation), f("scale", c.scale), f("stretch", c.stretch);
  f("shift", c.shift), f("flip", c.flip), f("fill", c.fill);
}
static void fields(Same<ColorAugment> auto& c, auto&& f) {
  f("brightness", c.brightness), f("contrast", c.contrast), f("saturation", c.saturation), f("hue", c.hue);
  f("matrix", c.matrix), f("grayscale", c.grayscale);
}
static void fields(Same<BlurAugment> auto& c, auto&& f) { f("probability", c.probability), f("sigma", c.sigma); }
static void fields(Same<EraseAugment> auto& c, auto&& f) {
  f("probability", c.probability), f("scale", c.scale), f("ratio", c.ratio), f("fill", c.fill);
}
static void fields(Same<Augment> auto& c, auto&& f) {
  f("crop", c.crop), f("affine", c.affine), f("color", c.color), f("blur", c.blur), f("erase", c.erase);
}
static void fields(Same<TransformConfig> auto& c, auto&& f) {
  f("size", c.size), f("interpolation", c.interpolation), f("resize_mode", c.resize_mode);
  f("mean", c.normalization.mean), f("std", c.normalization.std), f("augment", c.augment);
}

namespace {

constexpr io::detail::WholeRange whole_numbers{0, 1 << 14};

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
  Preprocessor(const std::string& text, const std::string& file)
      : json_(io::detail::parse_json<Json>(text, "[transform] " + file)), file_(file) {
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
    if (json_.contains(key)) io::detail::read_value(json_[key], channels, JsonPlace{place(""), key}, whole_numbers);
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
  if (augment.blur.active()) random_blur(out, augment.blur, rng);
  if (augment.erase.active()) random_erase(out, augment.erase, rng);
  return out;
}

void check(const TransformConfig& config) {
  check_number("size", config.size, 1, 1 << 14);
  for (const double std : config.normalization.std) check_number("std", std, 1e-6, 1e6);
  const auto& [crop, affine, color, blur, erase] = config.augment;
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
  check_number("augment.blur.probability", blur.probability, 0, 1);
  check_range("augment.blur.sigma", blur.sigma, 0, 100);
  check_number("augment.erase.probability", erase.probability, 0, 1);
  check_range("augment.erase.scale", erase.scale, 0, 1);
  check_range("augment.erase.ratio", erase.ratio, 0, 100);
}

std::string to_json(const TransformConfig& config) { return io::detail::write_value<Json>(config).dump(2); }

TransformConfig parse_transform_config(const std::string& json, const TransformConfig& defaults,
                                       const std::string& path) {
  TransformConfig config = defaults;
  read_fields(io::detail::parse_json<Json>(json, "[transform]"), config, JsonPlace{"[transform] ", path},
              whole_numbers);
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
