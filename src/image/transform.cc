#include "fovea/image/transform.h"

#include <algorithm>

#include "io/json_fields.h"

namespace fovea::io::detail {

template <>
struct EnumNames<image::Interpolation> {
  static constexpr std::pair<const char*, image::Interpolation> values[] = {
      {"bilinear", image::Interpolation::bilinear}, {"bicubic", image::Interpolation::bicubic},
      {"nearest", image::Interpolation::nearest},   {"lanczos", image::Interpolation::lanczos},
      {"box", image::Interpolation::box},           {"hamming", image::Interpolation::hamming}};
};
template <>
struct EnumNames<image::ResizeMode> {
  static constexpr std::pair<const char*, image::ResizeMode> values[] = {{"shortest", image::ResizeMode::shortest},
                                                                         {"squash", image::ResizeMode::squash},
                                                                         {"longest", image::ResizeMode::longest},
                                                                         {"pad", image::ResizeMode::pad}};
};
template <>
struct EnumNames<image::CropOffset> {
  static constexpr std::pair<const char*, image::CropOffset> values[] = {{"even", image::CropOffset::even},
                                                                         {"down", image::CropOffset::down}};
};
template <>
struct EnumNames<image::Alpha> {
  static constexpr std::pair<const char*, image::Alpha> values[] = {{"drop", image::Alpha::drop},
                                                                    {"white", image::Alpha::white}};
};

}  // namespace fovea::io::detail

namespace fovea::image {

using io::detail::JsonPlace;
using io::detail::Same;
using Json = nlohmann::ordered_json;

static void fields(Same<CropAugment> auto& c, auto&& f) {
  f("scale", c.scale), f("ratio", c.ratio), f("random_position", c.random_position);
}
static void fields(Same<AffineAugment> auto& c, auto&& f) {
  f("rotation", c.rotation), f("scale", c.scale), f("stretch", c.stretch);
  f("shift", c.shift), f("flip", c.flip), f("fill", c.fill);
}
static void fields(Same<ColorAugment> auto& c, auto&& f) {
  f("brightness", c.brightness), f("contrast", c.contrast), f("saturation", c.saturation), f("hue", c.hue);
  f("matrix", c.matrix), f("grayscale", c.grayscale);
}
static void fields(Same<RandAugment> auto& c, auto&& f) { f("operations", c.operations), f("magnitude", c.magnitude); }
static void fields(Same<BlurAugment> auto& c, auto&& f) { f("probability", c.probability), f("sigma", c.sigma); }
static void fields(Same<EraseAugment> auto& c, auto&& f) {
  f("probability", c.probability), f("scale", c.scale), f("ratio", c.ratio), f("fill", c.fill);
}
static void fields(Same<Augment> auto& c, auto&& f) {
  f("crop", c.crop), f("affine", c.affine), f("rand_augment", c.rand_augment);
  f("color", c.color), f("blur", c.blur), f("erase", c.erase);
  f("scaled_decode", c.scaled_decode);
}
static void fields(Same<TransformConfig> auto& c, auto&& f) {
  f("size", c.size), f("interpolation", c.interpolation), f("resize_mode", c.resize_mode);
  f("resize_to", c.resize_to), f("crop_offset", c.crop_offset), f("fill", c.fill), f("alpha", c.alpha);
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

// The square of the result: the middle, or anywhere when there is a generator.
Image cut_out(const Image& image, const TransformConfig& config, Rng* rng) {
  if (image.width == config.size && image.height == config.size) return image;
  if (rng == nullptr) return center_crop(image, config.size, config.crop_offset);
  const int top = static_cast<int>(rng->below(image.height - config.size + 1));
  const int left = static_cast<int>(rng->below(image.width - config.size + 1));
  return crop(image, left, top, config.size, config.size);
}

// What the resize mode makes of a picture: at least `resize_to` pixels high and wide.
Image resized(const Image& image, const TransformConfig& config) {
  const int side = config.resize_to > 0 ? config.resize_to : config.size;
  switch (config.resize_mode) {
    case ResizeMode::shortest: return resize_shortest(image, side, config.interpolation);
    case ResizeMode::longest: return pad(resize_longest(image, side, config.interpolation), side, side, config.fill);
    case ResizeMode::pad: {
      const int longer = std::max(image.width, image.height);
      return resize(pad(image, longer, longer, config.fill), side, side, config.interpolation);
    }
    case ResizeMode::squash: break;
  }
  return resize(image, side, side, config.interpolation);
}

// The rectangle of a picture of size `from`, in the same picture of another size.
Rectangle scaled(const Rectangle& r, Size from, Size to) {
  const auto place = [](int x, int old_side, int new_side) {
    return static_cast<int>((std::int64_t{2} * x * new_side + old_side) / (std::int64_t{2} * old_side));  // rounded
  };
  const int left = std::min(place(r.left, from.width, to.width), to.width - 1);
  const int top = std::min(place(r.top, from.height, to.height), to.height - 1);
  return {left, top, std::max(1, place(r.left + r.width, from.width, to.width) - left),
          std::max(1, place(r.top + r.height, from.height, to.height) - top)};
}

// The side that must not become shorter than the result before it is resized.
int decisive_side(Size size, ResizeMode mode) {
  const bool whole = mode == ResizeMode::longest || mode == ResizeMode::pad;
  return whole ? std::max(size.width, size.height) : std::min(size.width, size.height);
}

}  // namespace

Image eval_transform(const Image& image, const TransformConfig& config) {
  return cut_out(resized(image, config), config, nullptr);
}

int train_reduction(Size size, const TransformConfig& config, Rng rng) {
  if (!config.augment.scaled_decode) return 1;
  int side = decisive_side(size, config.resize_mode), target = std::max(config.size, config.resize_to);
  if (config.augment.crop.active()) {
    const Rectangle r = random_rectangle(size, config.augment.crop, rng);
    side = std::min(r.width, r.height);
    target = config.size;
  }
  int reduction = 8;
  while (reduction > 1 && side / reduction < target) reduction /= 2;
  return reduction;
}

Image train_transform(const Image& image, const TransformConfig& config, Rng& rng) {
  return train_transform(image, image.size(), config, rng);
}

Image train_transform(const Image& image, Size size, const TransformConfig& config, Rng& rng) {
  const Augment& augment = config.augment;
  Image out = augment.crop.active()
                  ? resize_part(image, scaled(random_rectangle(size, augment.crop, rng), size, image.size()),
                                config.size, config.size, config.interpolation)
                  : cut_out(resized(image, config), config, augment.crop.random_position ? &rng : nullptr);
  if (augment.affine.active()) {
    out = warp(out, random_affine_map(out.width, out.height, augment.affine, rng), augment.affine.fill);
  }
  if (augment.rand_augment.active()) rand_augment(out, augment.rand_augment, rng);
  jitter_color(out, augment.color, rng);
  if (augment.blur.active()) random_blur(out, augment.blur, rng);
  if (augment.erase.active()) random_erase(out, augment.erase, rng);
  return out;
}

bool is_random(const Augment& augment) {
  const ColorAugment& c = augment.color;
  const bool colors =
      c.brightness != 0 || c.contrast != 0 || c.saturation != 0 || c.hue != 0 || c.matrix != 0 || c.grayscale != 0;
  return augment.crop.active() || augment.crop.random_position || augment.affine.active() ||
         augment.rand_augment.active() || colors || augment.blur.active() || augment.erase.active();
}

void check(const TransformConfig& config) {
  check_number("size", config.size, 1, 1 << 14);
  FOVEA_CHECK(config.resize_to == 0 || (config.resize_to >= config.size && config.resize_to <= 1 << 14),
              "[transform] resize_to is ", config.resize_to, ", expected 0, or from size (", config.size, ") to 16384");
  for (const double std : config.normalization.std) check_number("std", std, 1e-6, 1e6);
  const auto& [crop, affine, rand_augment, color, blur, erase, scaled_decode] = config.augment;
  check_range("augment.crop.scale", crop.scale, 0, 1);
  check_range("augment.crop.ratio", crop.ratio, 0, 100);
  FOVEA_CHECK(!crop.random_position || !crop.active(), "[transform] augment.crop.random_position is of no use with ",
              "augment.crop.scale, which places its rectangle at random anyway: expected one of them");
  check_number("augment.rand_augment.operations", rand_augment.operations, 0, 100);
  check_number("augment.rand_augment.magnitude", rand_augment.magnitude, 0, 10);
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

}  // namespace fovea::image
