#include "fovea/image/resize.h"

#include <algorithm>
#include <climits>
#include <cmath>
#include <cstring>
#include <numbers>

#include "fovea/core/error.h"

namespace fovea::image {
namespace {

constexpr std::int64_t max_result_pixels = std::int64_t{1} << 28;  // a line one pixel thin must not ask for all memory
constexpr int precision_bits = 32 - 8 - 2;  // 8 for the result, 2 for the overshoot of bicubic's negative lobes

double triangle(double x) { return std::max(0.0, 1 - std::fabs(x)); }

double box(double x) { return x > -0.5 && x <= 0.5 ? 1 : 0; }

double sinc(double x) { return x == 0 ? 1 : std::sin(std::numbers::pi * x) / (std::numbers::pi * x); }

double hamming(double x) { return std::fabs(x) < 1 ? sinc(x) * (0.54 + 0.46 * std::cos(std::numbers::pi * x)) : 0; }

double lanczos(double x) { return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0; }

double keys_cubic(double x) {
  constexpr double a = -0.5;
  x = std::fabs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

// A function of the distance in pixels (of the smaller picture), 0 from `support` on.
struct Filter {
  double (*weight)(double);
  double support;
};

Filter filter_of(Interpolation interpolation) {
  switch (interpolation) {
    case Interpolation::lanczos: return {lanczos, 3};
    case Interpolation::bilinear: return {triangle, 1};
    case Interpolation::bicubic: return {keys_cubic, 2};
    case Interpolation::hamming: return {hamming, 1};
    case Interpolation::box:
    case Interpolation::nearest: break;
  }
  return {box, 0.5};
}

// For each output position along one axis, the inputs it is made of and their fixed-point weights.
struct FilterBank {
  int taps;                           // room per output
  std::vector<int> first, count;      // inputs [first, first + count)
  std::vector<std::int32_t> weights;  // (outputs, taps)
};

FilterBank make_filter_bank(int in, int out, Interpolation interpolation) {
  const Filter filter = filter_of(interpolation);
  const double scale = static_cast<double>(in) / out, filter_scale = std::max(scale, 1.0);
  const double support = filter.support * filter_scale;
  FilterBank bank{static_cast<int>(std::ceil(support)) * 2 + 1, {}, {}, {}};
  bank.weights.resize(static_cast<std::size_t>(out) * static_cast<std::size_t>(bank.taps));
  std::vector<double> exact(static_cast<std::size_t>(bank.taps));
  for (int i = 0; i < out; ++i) {
    const double center = (i + 0.5) * scale;
    const int begin = std::max(0, static_cast<int>(center - support + 0.5));
    const int count = std::min(in, static_cast<int>(center + support + 0.5)) - begin;
    double total = 0;
    for (int k = 0; k < count; ++k) {
      const double distance = (k + begin - center + 0.5) * (1.0 / filter_scale);
      total += exact[static_cast<std::size_t>(k)] = filter.weight(distance);
    }
    bank.first.push_back(begin);
    bank.count.push_back(count);
    std::int32_t* weights = &bank.weights[static_cast<std::size_t>(i) * static_cast<std::size_t>(bank.taps)];
    for (int k = 0; k < count; ++k) {
      weights[k] =
          static_cast<std::int32_t>(std::lround(exact[static_cast<std::size_t>(k)] / total * (1 << precision_bits)));
    }
  }
  return bank;
}

std::uint8_t from_fixed(std::int32_t value) {
  return static_cast<std::uint8_t>(std::clamp(value >> precision_bits, 0, 255));
}

constexpr std::int32_t half = 1 << (precision_bits - 1);

// Changes the width.
Image resize_columns(const Image& image, int width, Interpolation interpolation) {
  if (width == image.width) return image;
  const FilterBank bank = make_filter_bank(image.width, width, interpolation);
  Image out(width, image.height);
  for (int y = 0; y < image.height; ++y) {
    std::uint8_t* to = out.row(y);
    for (int x = 0; x < width; ++x, to += 3) {
      const auto i = static_cast<std::size_t>(x);
      const std::uint8_t* from = image.row(y) + 3 * bank.first[i];
      const std::int32_t* weights = &bank.weights[i * static_cast<std::size_t>(bank.taps)];
      std::int32_t red = half, green = half, blue = half;
      for (int k = 0; k < bank.count[i]; ++k, from += 3) {
        red += from[0] * weights[k];
        green += from[1] * weights[k];
        blue += from[2] * weights[k];
      }
      to[0] = from_fixed(red);
      to[1] = from_fixed(green);
      to[2] = from_fixed(blue);
    }
  }
  return out;
}

// Changes the height.
Image resize_rows(const Image& image, int height, Interpolation interpolation) {
  if (height == image.height) return image;
  const FilterBank bank = make_filter_bank(image.height, height, interpolation);
  Image out(image.width, height);
  std::vector<std::int32_t> sums(image.row_bytes());
  for (int y = 0; y < height; ++y) {
    const auto i = static_cast<std::size_t>(y);
    const std::int32_t* weights = &bank.weights[i * static_cast<std::size_t>(bank.taps)];
    std::fill(sums.begin(), sums.end(), half);
    for (int k = 0; k < bank.count[i]; ++k) {
      const std::uint8_t* from = image.row(bank.first[i] + k);
      for (std::size_t x = 0; x < sums.size(); ++x) sums[x] += from[x] * weights[k];
    }
    std::transform(sums.begin(), sums.end(), out.row(y), from_fixed);
  }
  return out;
}

// Which input each output takes, along one axis.
std::vector<int> nearest_positions(int in, int out) {
  std::vector<int> positions;
  const double scale = static_cast<double>(in) / out;
  double at = scale * 0.5;
  for (int i = 0; i < out; ++i, at += scale) positions.push_back(std::min(static_cast<int>(at), in - 1));
  return positions;
}

Image resize_nearest(const Image& image, int width, int height) {
  const std::vector<int> columns = nearest_positions(image.width, width),
                         rows = nearest_positions(image.height, height);
  Image out(width, height);
  for (int y = 0; y < height; ++y) {
    const std::uint8_t* from = image.row(rows[static_cast<std::size_t>(y)]);
    std::uint8_t* to = out.row(y);
    for (const int column : columns) to = std::copy_n(from + 3 * column, 3, to);
  }
  return out;
}

void check_not_empty(const Image& image) {
  FOVEA_CHECK(image.width > 0 && image.height > 0, "[resize] the picture is empty (", image.width, "x", image.height,
              ")");
}

}  // namespace

Image resize(const Image& image, int width, int height, Interpolation interpolation) {
  check_not_empty(image);
  FOVEA_CHECK(width > 0 && height > 0, "[resize] new size is ", width, "x", height, ", expected positive sides");
  FOVEA_CHECK(std::int64_t{width} * height <= max_result_pixels, "[resize] new size is ", width, "x", height,
              ", at most ", max_result_pixels, " pixels are made");
  if (interpolation == Interpolation::nearest) return resize_nearest(image, width, height);
  const bool height_first = image.height - height > std::max(0, 2 * (image.width - width));
  if (height_first) return resize_columns(resize_rows(image, height, interpolation), width, interpolation);
  return resize_rows(resize_columns(image, width, interpolation), height, interpolation);
}

Image crop(const Image& image, int left, int top, int width, int height) {
  FOVEA_CHECK(
      left >= 0 && top >= 0 && width > 0 && height > 0 && left <= image.width - width && top <= image.height - height,
      "[crop] ", width, "x", height, " at (", left, ", ", top, ") is not inside ", image.width, "x", image.height);
  Image out(width, height);
  for (int y = 0; y < height; ++y) std::memcpy(out.row(y), image.row(top + y) + 3 * left, out.row_bytes());
  return out;
}

Image resize_shortest(const Image& image, int size, Interpolation interpolation) {
  check_not_empty(image);
  const std::int64_t shorter = std::min(image.width, image.height);
  const auto scaled = [&](int side) {
    return static_cast<int>(std::min<std::int64_t>(std::int64_t{size} * side / shorter, INT_MAX));
  };
  return resize(image, scaled(image.width), scaled(image.height), interpolation);
}

Image resize_longest(const Image& image, int size, Interpolation interpolation) {
  check_not_empty(image);
  FOVEA_CHECK(size > 0, "[resize] the longer side is to be ", size, ", expected a positive number");
  const double ratio = static_cast<double>(std::max(image.width, image.height)) / size;
  // Python's round takes halves to the even neighbour; so does nearbyint.
  const auto scaled = [&](int side) { return std::max(1, static_cast<int>(std::nearbyint(side / ratio))); };
  return resize(image, scaled(image.width), scaled(image.height), interpolation);
}

Image pad(const Image& image, int width, int height, Color fill) {
  FOVEA_CHECK(width >= image.width && height >= image.height, "[pad] ", image.width, "x", image.height,
              " pixels do not fit into ", width, "x", height);
  FOVEA_CHECK(std::int64_t{width} * height <= max_result_pixels, "[pad] new size is ", width, "x", height, ", at most ",
              max_result_pixels, " pixels are made");
  Image out(width, height);
  for (std::size_t i = 0; i < out.pixels.size(); ++i) out.pixels[i] = fill[i % 3];
  const int left = (width - image.width) / 2, top = (height - image.height) / 2;
  for (int y = 0; y < image.height; ++y) std::memcpy(out.row(top + y) + 3 * left, image.row(y), image.row_bytes());
  return out;
}

Image center_crop(const Image& image, int size, CropOffset offset) {
  const auto begin = [&](int side) {
    const double middle = (side - size) / 2.0;
    return static_cast<int>(offset == CropOffset::even ? std::nearbyint(middle) : std::floor(middle));
  };
  return crop(image, begin(image.width), begin(image.height), size, size);
}

}  // namespace fovea::image
