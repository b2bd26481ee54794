#include "fovea/image/resize.h"

#include <algorithm>
#include <climits>
#include <cmath>
#include <cstring>
#include <numbers>

#include "fovea/core/error.h"
#include "fovea/kernels/resize.h"

namespace fovea::image {
namespace {

using kernels::PixelRows;
using kernels::ResizeAxis;

constexpr std::int64_t max_result_pixels = std::int64_t{1} << 28;  // a line one pixel thin must not ask for all memory

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

// What each output position along one axis is made of.
ResizeAxis make_axis(int in, int out, Interpolation interpolation) {
  const Filter filter = filter_of(interpolation);
  const double scale = static_cast<double>(in) / out, filter_scale = std::max(scale, 1.0);
  const double support = filter.support * filter_scale;
  ResizeAxis axis;
  axis.inputs = in;
  axis.outputs = out;
  axis.taps = static_cast<int>(std::ceil(support)) * 2 + 1;
  axis.weights.resize(static_cast<std::size_t>(out) * static_cast<std::size_t>(axis.taps));
  std::vector<double> exact(static_cast<std::size_t>(axis.taps));
  for (int i = 0; i < out; ++i) {
    const double center = (i + 0.5) * scale;
    const int begin = std::max(0, static_cast<int>(center - support + 0.5));
    const int count = std::min(in, static_cast<int>(center + support + 0.5)) - begin;
    double total = 0;
    for (int k = 0; k < count; ++k) {
      const double distance = (k + begin - center + 0.5) * (1.0 / filter_scale);
      total += exact[static_cast<std::size_t>(k)] = filter.weight(distance);
    }
    axis.first.push_back(begin);
    axis.count.push_back(count);
    std::int32_t* weights = &axis.weights[static_cast<std::size_t>(i) * static_cast<std::size_t>(axis.taps)];
    for (int k = 0; k < count; ++k) {
      weights[k] = static_cast<std::int32_t>(
          std::lround(exact[static_cast<std::size_t>(k)] / total * (1 << ResizeAxis::precision_bits)));
    }
  }
  return axis;
}

// A rectangle of a picture.
struct View {
  PixelRows<const std::uint8_t> rows;
  int width, height;
};

View view_of(const Image& image) { return {{image.pixels.data(), image.row_bytes()}, image.width, image.height}; }

Image resize_columns(const View& view, int width, Interpolation interpolation) {
  Image out(width, view.height);
  kernels::resize_columns_u8(make_axis(view.width, width, interpolation), view.height, view.rows,
                             {out.pixels.data(), out.row_bytes()});
  return out;
}

Image resize_rows(const View& view, int height, Interpolation interpolation) {
  Image out(view.width, height);
  kernels::resize_rows_u8(make_axis(view.height, height, interpolation), view.width, view.rows,
                          {out.pixels.data(), out.row_bytes()});
  return out;
}

Image copied(const View& view) {
  Image out(view.width, view.height);
  for (int y = 0; y < view.height; ++y) std::memcpy(out.row(y), view.rows.row(y), out.row_bytes());
  return out;
}

Image resize_smoothly(const View& view, int width, int height, Interpolation interpolation) {
  if (width == view.width && height == view.height) return copied(view);
  if (width == view.width) return resize_rows(view, height, interpolation);
  if (height == view.height) return resize_columns(view, width, interpolation);
  const bool height_first = view.height - height > std::max(0, 2 * (view.width - width));
  if (height_first) return resize_columns(view_of(resize_rows(view, height, interpolation)), width, interpolation);
  return resize_rows(view_of(resize_columns(view, width, interpolation)), height, interpolation);
}

// Which input each output takes, along one axis.
std::vector<int> nearest_positions(int in, int out) {
  std::vector<int> positions;
  const double scale = static_cast<double>(in) / out;
  double at = scale * 0.5;
  for (int i = 0; i < out; ++i, at += scale) positions.push_back(std::min(static_cast<int>(at), in - 1));
  return positions;
}

Image resize_nearest(const View& view, int width, int height) {
  const std::vector<int> columns = nearest_positions(view.width, width), rows = nearest_positions(view.height, height);
  Image out(width, height);
  for (int y = 0; y < height; ++y) {
    const std::uint8_t* from = view.rows.row(rows[static_cast<std::size_t>(y)]);
    std::uint8_t* to = out.row(y);
    for (const int column : columns) to = std::copy_n(from + 3 * column, 3, to);
  }
  return out;
}

void check_not_empty(const Image& image) {
  FOVEA_CHECK(image.width > 0 && image.height > 0, "[resize] the picture is empty (", image.width, "x", image.height,
              ")");
}

Image resize_view(const View& view, int width, int height, Interpolation interpolation) {
  FOVEA_CHECK(width > 0 && height > 0, "[resize] new size is ", width, "x", height, ", expected positive sides");
  FOVEA_CHECK(std::int64_t{width} * height <= max_result_pixels, "[resize] new size is ", width, "x", height,
              ", at most ", max_result_pixels, " pixels are made");
  return interpolation == Interpolation::nearest ? resize_nearest(view, width, height)
                                                 : resize_smoothly(view, width, height, interpolation);
}

View part_of(const Image& image, int left, int top, int width, int height) {
  FOVEA_CHECK(
      left >= 0 && top >= 0 && width > 0 && height > 0 && left <= image.width - width && top <= image.height - height,
      "[crop] ", width, "x", height, " at (", left, ", ", top, ") is not inside ", image.width, "x", image.height);
  return {{image.row(top) + 3 * left, image.row_bytes()}, width, height};
}

}  // namespace

Image resize(const Image& image, int width, int height, Interpolation interpolation) {
  check_not_empty(image);
  return resize_view(view_of(image), width, height, interpolation);
}

Image resize_part(const Image& image, const Rectangle& part, int width, int height, Interpolation interpolation) {
  return resize_view(part_of(image, part.left, part.top, part.width, part.height), width, height, interpolation);
}

Image crop(const Image& image, int left, int top, int width, int height) {
  return copied(part_of(image, left, top, width, height));
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
