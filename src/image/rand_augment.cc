#include "fovea/image/rand_augment.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <numbers>

#include "fovea/image/augment.h"

namespace fovea::image {
namespace {

constexpr Color gray{128, 128, 128};

using Table = std::array<std::uint8_t, 256>;

// Cut off, not rounded, as the reference does.
std::uint8_t cut(double value) { return static_cast<std::uint8_t>(std::clamp(value, 0.0, 255.0)); }

// Calls table_of(channel's histogram) for a Table through which that channel goes.
template <class F>
void map_channels(Image& image, F&& table_of) {
  std::array<std::array<std::int64_t, 256>, 3> histograms{};
  for (std::size_t i = 0; i < image.pixels.size(); ++i) ++histograms[i % 3][image.pixels[i]];
  std::array<Table, 3> tables;
  for (std::size_t c = 0; c < 3; ++c) tables[c] = table_of(histograms[c]);
  for (std::size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = tables[i % 3][image.pixels[i]];
}

template <class F>
Table make_table(F&& value) {
  Table table;
  for (std::size_t x = 0; x < table.size(); ++x) table[x] = cut(value(static_cast<double>(x)));
  return table;
}

Table identity_table() {
  return make_table([](double x) { return x; });
}

using Histogram = std::array<std::int64_t, 256>;

Table contrast_table(const Histogram& histogram) {
  const auto occurs = [](std::int64_t count) { return count > 0; };
  const auto low = std::find_if(histogram.begin(), histogram.end(), occurs) - histogram.begin();
  const auto high = 255 - (std::find_if(histogram.rbegin(), histogram.rend(), occurs) - histogram.rbegin());
  if (high <= low) return identity_table();
  const double scale = 255.0 / static_cast<double>(high - low), offset = -static_cast<double>(low) * scale;
  return make_table([&](double x) { return x * scale + offset; });
}

Table equalizing_table(const Histogram& histogram) {
  std::int64_t total = 0, last = 0;
  for (const std::int64_t count : histogram) {
    total += count;
    if (count > 0) last = count;
  }
  const std::int64_t step = (total - last) / 255;
  if (step == 0) return identity_table();
  Table table;
  std::int64_t below = step / 2;
  for (std::size_t x = 0; x < table.size(); ++x) {
    table[x] = cut(static_cast<double>(below / step));
    below += histogram[x];
  }
  return table;
}

// Away from the smoothed picture by `factor`; the outermost pixels stay.
void sharpen(Image& image, double factor) {
  const Image source = image;
  for (int y = 1; y + 1 < image.height; ++y) {
    for (int x = 3; x + 3 < static_cast<int>(image.row_bytes()); ++x) {
      int sum = 4 * source.row(y)[x];
      for (int dy = -1; dy <= 1; ++dy) {
        const std::uint8_t* row = source.row(y + dy) + x;
        sum += row[-3] + row[0] + row[3];
      }
      const double smooth = std::nearbyint(sum / 13.0);
      image.row(y)[x] = cut(smooth + factor * (source.row(y)[x] - smooth));
    }
  }
}

// The reference shears about the upper left corner, and turns about a point half a pixel off the middle.
AffineMap shear_map(double x_by_y, double y_by_x, const Image& image) {
  AffineMap map;
  map.xy = -x_by_y, map.x0 = -x_by_y * (image.height - 1) / 2.0;
  map.yx = -y_by_x, map.y0 = -y_by_x * (image.width - 1) / 2.0;
  return map;
}

AffineMap rotation_map(double degrees) {
  const double angle = degrees * std::numbers::pi / 180, cosine = std::cos(angle), sine = std::sin(angle);
  AffineMap map;
  map.xx = cosine, map.xy = -sine, map.x0 = 0.5 * (1 - cosine + sine);
  map.yx = sine, map.yy = cosine, map.y0 = 0.5 * (1 - sine - cosine);
  return map;
}

}  // namespace

void apply(RandOperation operation, double level, double sign, Image& image) {
  const double factor = 0.1 + 1.8 * level, shear = sign * 0.3 * level, pixels = sign * 10 * level;
  AffineMap shifted;
  switch (operation) {
    case RandOperation::identity: return;
    case RandOperation::auto_contrast: return map_channels(image, contrast_table);
    case RandOperation::brightness: {
      const Table table = make_table([&](double x) { return x * factor; });
      return map_channels(image, [&](const Histogram&) { return table; });
    }
    case RandOperation::sharpness: return sharpen(image, factor);
    case RandOperation::equalize: return map_channels(image, equalizing_table);
    case RandOperation::shear_x: image = warp(image, shear_map(shear, 0, image), gray); return;
    case RandOperation::shear_y: image = warp(image, shear_map(0, shear, image), gray); return;
    case RandOperation::translate_x: shifted.x0 = pixels; break;
    case RandOperation::translate_y: shifted.y0 = pixels; break;
    case RandOperation::rotate: image = warp(image, rotation_map(sign * 30 * level), gray); return;
  }
  image = warp(image, shifted, gray);
}

void rand_augment(Image& image, const RandAugment& augment, Rng& rng) {
  constexpr std::int64_t choices = static_cast<std::int64_t>(RandOperation::rotate) + 1;
  for (int i = 0; i < augment.operations; ++i) {
    const auto operation = static_cast<RandOperation>(rng.below(choices));
    const bool happens = rng.uniform() < 0.5;
    const double sign = rng.uniform() < 0.5 ? -1 : 1;
    if (happens) apply(operation, augment.magnitude / 10, sign, image);
  }
}

}  // namespace fovea::image
