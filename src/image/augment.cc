// Nobody reads floating-point exception flags here; without this, loops with conditions do not vectorise.
#pragma GCC optimize("no-trapping-math")

#include "fovea/image/augment.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numbers>
#include <optional>

#include "fovea/core/error.h"

namespace fovea::image {
namespace {

constexpr std::array<double, 3> luminance{0.2989, 0.587, 0.114};  // torchvision's rgb_to_grayscale

std::uint8_t to_byte(float value) {
  return static_cast<std::uint8_t>(static_cast<int>(std::min(std::max(value, 0.0f), 255.0f) + 0.5f));
}

double uniform_in_log(Range range, Rng& rng) { return std::exp(rng.uniform(std::log(range[0]), std::log(range[1]))); }

// A rectangle of a share of the area, width / height being `shape`, where it fits at random. Nothing when it does not.
std::optional<Rectangle> place_rectangle(Size size, double share, double shape, Rng& rng) {
  const double target = static_cast<double>(size.width) * size.height * share;
  const double width = std::nearbyint(std::sqrt(target * shape)), height = std::nearbyint(std::sqrt(target / shape));
  if (width < 1 || width > size.width || height < 1 || height > size.height) return {};
  const int w = static_cast<int>(width), h = static_cast<int>(height);
  const int top = static_cast<int>(rng.below(size.height - h + 1));
  const int left = static_cast<int>(rng.below(size.width - w + 1));
  return Rectangle{left, top, w, h};
}

constexpr int rectangle_attempts = 10;  // torchvision's number

// When no random rectangle fits (a very long picture): the largest in the middle whose shape is allowed.
Rectangle central_rectangle(Size size, Range ratio) {
  int width = size.width, height = size.height;
  const double shape = static_cast<double>(width) / height;
  if (shape < ratio[0]) height = std::max(1, static_cast<int>(std::nearbyint(width / ratio[0])));
  if (shape > ratio[1]) width = std::max(1, static_cast<int>(std::nearbyint(height * ratio[1])));
  return {(size.width - width) / 2, (size.height - height) / 2, width, height};
}

// The picture as 4 floats a pixel with a border of the fill colour, one pixel before and two behind: any clamped
// position has all four of its neighbours inside, so that the sampling loop has no branch.
struct BorderedImage {
  static constexpr int channels = 4;  // one unused, so that a pixel is one vector
  int width;                          // with the border
  std::vector<float> pixels;

  BorderedImage(const Image& image, Color fill) : width(image.width + 3) {
    pixels.resize(static_cast<std::size_t>(width) * static_cast<std::size_t>(image.height + 3) * channels);
    float* to = pixels.data();
    const auto put = [&to](const std::uint8_t* color) {
      for (int c = 0; c < 3; ++c) to[c] = color[c];
      to += channels;
    };
    for (int y = -1; y < image.height + 2; ++y) {
      const bool inside = y >= 0 && y < image.height;
      const std::uint8_t* from = inside ? image.row(y) : fill.data();
      const int step = inside ? 3 : 0;
      put(fill.data());
      for (int x = 0; x < image.width; ++x, from += step) put(from);
      put(fill.data());
      put(fill.data());
    }
  }
  const float* at(int x, int y) const {
    return pixels.data() + (static_cast<std::ptrdiff_t>(y) * width + x) * channels;
  }
};

// Bilinear value at a position counted from the border's corner.
inline void sample(const BorderedImage& source, float x, float y, std::uint8_t* out) {
  const int left = static_cast<int>(x), top = static_cast<int>(y);
  const float right_share = x - static_cast<float>(left), lower_share = y - static_cast<float>(top);
  const float *upper = source.at(left, top), *lower = source.at(left, top + 1);
  float value[BorderedImage::channels];
  for (int c = 0; c < BorderedImage::channels; ++c) {
    const float above = upper[c] + right_share * (upper[c + 4] - upper[c]);
    const float below = lower[c] + right_share * (lower[c + 4] - lower[c]);
    value[c] = above + lower_share * (below - above) + 0.5f;
  }
  for (int c = 0; c < 3; ++c) out[c] = static_cast<std::uint8_t>(value[c]);
}

// Calls change(red, green, blue, n) on pieces of the picture as separate planes of floats, which vectorise; the results
// are clamped and rounded.
template <class F>
void change_colors(Image& image, F&& change) {
  constexpr std::size_t piece = 256;
  float planes[3][piece];
  const std::size_t count = image.pixels.size() / 3;
  for (std::size_t begin = 0; begin < count; begin += piece) {
    const std::size_t n = std::min(piece, count - begin);
    std::uint8_t* bytes = &image.pixels[3 * begin];
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t c = 0; c < 3; ++c) planes[c][i] = bytes[3 * i + c];
    }
    change(planes[0], planes[1], planes[2], n);
    std::uint8_t rounded[3][piece];
    for (std::size_t c = 0; c < 3; ++c) std::transform(planes[c], planes[c] + n, rounded[c], to_byte);
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t c = 0; c < 3; ++c) bytes[3 * i + c] = rounded[c][i];
    }
  }
}

// x becomes factor * x + offset, in every channel.
void scale_values(Image& image, double factor, double offset) {
  std::array<std::uint8_t, 256> table;
  for (std::size_t x = 0; x < table.size(); ++x) {
    table[x] = to_byte(static_cast<float>(factor * static_cast<double>(x) + offset));
  }
  for (std::uint8_t& x : image.pixels) x = table[x];
}

double mean_luminance(const Image& image) {
  std::array<std::int64_t, 3> sums{};
  for (std::size_t i = 0; i < image.pixels.size(); i += 3) {
    for (std::size_t c = 0; c < 3; ++c) sums[c] += image.pixels[i + c];
  }
  double total = 0;
  for (std::size_t c = 0; c < 3; ++c) total += luminance[c] * static_cast<double>(sums[c]);
  return total / std::max(1.0, static_cast<double>(image.pixels.size() / 3));
}

// Position i of a line of n pixels that is mirrored at its ends.
int mirrored(int i, int n) {
  const int period = std::max(1, 2 * (n - 1));
  i = std::abs(i) % period;
  return i < n ? i : period - i;
}

// weights[k] is that of distance k.
std::vector<float> gaussian_weights(double sigma) {
  std::vector<float> weights(1 + static_cast<std::size_t>(std::ceil(4 * sigma)));
  float total = 0;
  for (std::size_t k = 0; k < weights.size(); ++k) {
    const double z = static_cast<double>(k) / sigma;
    weights[k] = static_cast<float>(std::exp(-0.5 * z * z));
    total += k == 0 ? weights[k] : 2 * weights[k];
  }
  for (float& weight : weights) weight /= total;
  return weights;
}

// Convolves along one axis: n positions `step` floats apart on each of `lines` lines of `width` neighbouring floats,
// line i beginning at i * line_step.
struct BlurAxis {
  int n, lines;
  std::size_t step, line_step, width;
};

std::vector<float> blur_axis(const std::vector<float>& in, const BlurAxis& axis, const std::vector<float>& weights) {
  std::vector<float> out(in.size());
  for (int line = 0; line < axis.lines; ++line) {
    const std::size_t begin = static_cast<std::size_t>(line) * axis.line_step;
    const auto at = [&](int i) { return begin + static_cast<std::size_t>(mirrored(i, axis.n)) * axis.step; };
    for (int i = 0; i < axis.n; ++i) {
      float* to = &out[at(i)];
      for (int k = 0; k < static_cast<int>(weights.size()); ++k) {
        const float weight = weights[static_cast<std::size_t>(k)] * (k == 0 ? 0.5f : 1.0f);
        const float *before = &in[at(i - k)], *after = &in[at(i + k)];
        for (std::size_t c = 0; c < axis.width; ++c) to[c] += weight * (before[c] + after[c]);
      }
    }
  }
  return out;
}

ColorMatrix random_matrix(double amount, Rng& rng) {
  ColorMatrix matrix;
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t j = 0; j < 3; ++j) matrix[i][j] = (i == j ? 1 : 0) + rng.uniform(-amount, amount);
  }
  return matrix;
}

}  // namespace

Rectangle random_rectangle(Size size, const CropAugment& augment, Rng& rng) {
  FOVEA_CHECK(size.width > 0 && size.height > 0, "[crop] the picture is empty (", size.width, "x", size.height, ")");
  for (int attempt = 0; attempt < rectangle_attempts; ++attempt) {
    const double share = rng.uniform(augment.scale[0], augment.scale[1]);
    if (const auto found = place_rectangle(size, share, uniform_in_log(augment.ratio, rng), rng)) return *found;
  }
  return central_rectangle(size, augment.ratio);
}

Image random_resized_crop(const Image& image, int size, const CropAugment& augment, Interpolation interpolation,
                          Rng& rng) {
  const Rectangle r = random_rectangle(image.size(), augment, rng);
  return resize_part(image, r, size, size, interpolation);
}

AffineMap random_affine_map(int width, int height, const AffineAugment& augment, Rng& rng) {
  const double angle = rng.uniform(-augment.rotation, augment.rotation) * std::numbers::pi / 180;
  const double scale = uniform_in_log(augment.scale, rng);
  const double stretch = uniform_in_log({1 / (1 + augment.stretch), 1 + augment.stretch}, rng);
  const double dx = rng.uniform(-augment.shift, augment.shift) * width;
  const double dy = rng.uniform(-augment.shift, augment.shift) * height;
  const double mirror = rng.uniform() < augment.flip ? -1 : 1;
  // The picture is mirrored and scaled by (wide, high), then rotated, then shifted; the map undoes that.
  const double wide = mirror * scale * stretch, high = scale / stretch;
  AffineMap map;
  map.xx = std::cos(angle) / wide;
  map.xy = std::sin(angle) / wide;
  map.yx = -std::sin(angle) / high;
  map.yy = std::cos(angle) / high;
  map.x0 = -(map.xx * dx + map.xy * dy);
  map.y0 = -(map.yx * dx + map.yy * dy);
  return map;
}

Image warp(const Image& image, const AffineMap& map, Color fill) {
  const BorderedImage source(image, fill);
  Image out(image.width, image.height);
  const double center_x = (image.width - 1) / 2.0, center_y = (image.height - 1) / 2.0;
  const auto step_x = static_cast<float>(map.xx), step_y = static_cast<float>(map.yx);
  const auto last_x = static_cast<float>(image.width + 1), last_y = static_cast<float>(image.height + 1);
  for (int y = 0; y < image.height; ++y) {
    // Where the row starts in the source, counted from the border's corner.
    const auto start_x = static_cast<float>(1 + center_x + map.x0 - map.xx * center_x + map.xy * (y - center_y));
    const auto start_y = static_cast<float>(1 + center_y + map.y0 - map.yx * center_x + map.yy * (y - center_y));
    std::uint8_t* to = out.row(y);
    for (int x = 0; x < image.width; ++x, to += 3) {
      const auto column = static_cast<float>(x);
      const float source_x = start_x + step_x * column, source_y = start_y + step_y * column;
      sample(source, std::min(std::max(source_x, 0.0f), last_x), std::min(std::max(source_y, 0.0f), last_y), to);
    }
  }
  return out;
}

void jitter_color(Image& image, const ColorAugment& augment, Rng& rng) {
  const auto factor = [&rng](double amount) { return rng.uniform(std::max(0.0, 1 - amount), 1 + amount); };
  std::array<int, 4> order{0, 1, 2, 3};
  rng.shuffle(order);
  for (const int step : order) {
    if (step == 0 && augment.brightness != 0) adjust_brightness(image, factor(augment.brightness));
    if (step == 1 && augment.contrast != 0) adjust_contrast(image, factor(augment.contrast));
    if (step == 2 && augment.saturation != 0) adjust_saturation(image, factor(augment.saturation));
    if (step == 3 && augment.hue != 0) adjust_hue(image, rng.uniform(-augment.hue, augment.hue));
  }
  if (augment.matrix != 0) apply_color_matrix(image, random_matrix(augment.matrix, rng));
  if (augment.grayscale != 0 && rng.uniform() < augment.grayscale) adjust_saturation(image, 0);
}

void random_blur(Image& image, const BlurAugment& augment, Rng& rng) {
  if (rng.uniform() < augment.probability) gaussian_blur(image, rng.uniform(augment.sigma[0], augment.sigma[1]));
}

void gaussian_blur(Image& image, double sigma) {
  const std::vector<float> weights = gaussian_weights(sigma);
  const std::vector<float> pixels(image.pixels.begin(), image.pixels.end());
  const std::size_t row = image.row_bytes();
  const std::vector<float> rows = blur_axis(pixels, {image.width, image.height, 3, row, 3}, weights);
  const std::vector<float> both = blur_axis(rows, {image.height, 1, row, 0, row}, weights);
  std::transform(both.begin(), both.end(), image.pixels.begin(), to_byte);
}

void random_erase(Image& image, const EraseAugment& augment, Rng& rng) {
  if (rng.uniform() >= augment.probability) return;
  for (int attempt = 0; attempt < rectangle_attempts; ++attempt) {
    const double share = rng.uniform(augment.scale[0], augment.scale[1]);
    const auto r = place_rectangle(image.size(), share, 1 / uniform_in_log(augment.ratio, rng), rng);
    if (!r || r->width == image.width || r->height == image.height) continue;  // as torchvision, never a whole side
    for (int y = r->top; y < r->top + r->height; ++y) {
      for (int x = r->left; x < r->left + r->width; ++x) {
        std::copy(augment.fill.begin(), augment.fill.end(), image.row(y) + 3 * x);
      }
    }
    return;
  }
}

void adjust_brightness(Image& image, double factor) { scale_values(image, factor, 0); }

void adjust_contrast(Image& image, double factor) { scale_values(image, factor, (1 - factor) * mean_luminance(image)); }

void adjust_saturation(Image& image, double factor) {
  ColorMatrix matrix;
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t j = 0; j < 3; ++j) matrix[i][j] = (i == j ? factor : 0) + (1 - factor) * luminance[j];
  }
  apply_color_matrix(image, matrix);
}

void apply_color_matrix(Image& image, const ColorMatrix& matrix) {
  float m[3][3];
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t j = 0; j < 3; ++j) m[i][j] = static_cast<float>(matrix[i][j]);
  }
  change_colors(image, [&m](float* red, float* green, float* blue, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) {
      const float r = red[i], g = green[i], b = blue[i];
      red[i] = m[0][0] * r + m[0][1] * g + m[0][2] * b;
      green[i] = m[1][0] * r + m[1][1] * g + m[1][2] * b;
      blue[i] = m[2][0] * r + m[2][1] * g + m[2][2] * b;
    }
  });
}

void adjust_hue(Image& image, double turns) {
  const auto turned = static_cast<float>(6 * (turns - std::floor(turns)));  // in sixths of a turn, 0..6
  change_colors(image, [turned](float* red, float* green, float* blue, std::size_t n) {
    const auto wrap = [](float sixths) { return sixths >= 6 ? sixths - 6 : sixths; };
    for (std::size_t i = 0; i < n; ++i) {
      const float r = red[i], g = green[i], b = blue[i];
      const float value = std::max(r, std::max(g, b)), chroma = value - std::min(r, std::min(g, b));
      const float scale = 1 / std::max(chroma, 1.0f);  // chroma is a whole number; 0 for a gray pixel, which stays so
      const float from_red = (g - b) * scale, from_green = 2 + (b - r) * scale, from_blue = 4 + (r - g) * scale;
      const float hue = value == r ? from_red : value == g ? from_green : from_blue;  // -1..5
      const float h = wrap((hue < 0 ? hue + 6 : hue) + turned);
      // channel = value - chroma * clamp(min(k, 4 - k), 0, 1) with k = (h + 5, 3, 1) mod 6
      const auto channel = [&](float phase) {
        const float k = wrap(h + phase);
        return value - chroma * std::max(0.0f, std::min(1.0f, std::min(k, 4 - k)));
      };
      red[i] = channel(5);
      green[i] = channel(3);
      blue[i] = channel(1);
    }
  });
}

}  // namespace fovea::image
