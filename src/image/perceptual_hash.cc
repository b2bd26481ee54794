#include "fovea/image/perceptual_hash.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <vector>

#include "fovea/image/resize.h"

namespace fovea::image {
namespace {

constexpr std::size_t side = 64, waves = 16;

// Row k: wave k + 1 of the cosine transform along 64 pixels.
std::array<std::array<float, side>, waves> make_waves() {
  std::array<std::array<float, side>, waves> table{};
  for (std::size_t k = 0; k < waves; ++k) {
    for (std::size_t x = 0; x < side; ++x)
      table[k][x] = static_cast<float>(std::cos(M_PI / (2.0 * side) * static_cast<double>((k + 1) * (2 * x + 1))));
  }
  return table;
}

using Brightness = std::array<std::array<float, side>, side>;

Brightness brightness(const Image& small) {
  Brightness y{};
  for (std::size_t row = 0; row < side; ++row) {
    const std::uint8_t* pixel = small.row(static_cast<int>(row));
    for (std::size_t x = 0; x < side; ++x, pixel += Image::channels)
      y[row][x] = 0.299f * pixel[0] + 0.587f * pixel[1] + 0.114f * pixel[2];
  }
  return y;
}

std::array<float, waves * waves> transform(const Brightness& y) {
  static const auto table = make_waves();
  std::array<std::array<float, waves>, side> rows{};
  for (std::size_t row = 0; row < side; ++row) {
    for (std::size_t k = 0; k < waves; ++k) {
      float sum = 0;
      for (std::size_t x = 0; x < side; ++x) sum += y[row][x] * table[k][x];
      rows[row][k] = sum;
    }
  }
  std::array<float, waves * waves> coefficients{};
  for (std::size_t i = 0; i < waves; ++i) {
    for (std::size_t row = 0; row < side; ++row) {
      for (std::size_t k = 0; k < waves; ++k) coefficients[i * waves + k] += table[i][row] * rows[row][k];
    }
  }
  return coefficients;
}

std::array<std::uint8_t, 12> quarter_colors(const Image& small) {
  std::array<std::uint32_t, 12> sums{};
  for (std::size_t row = 0; row < side; ++row) {
    const std::uint8_t* pixel = small.row(static_cast<int>(row));
    for (std::size_t x = 0; x < side; ++x) {
      const std::size_t quarter = 2 * (row / (side / 2)) + x / (side / 2);
      for (std::size_t c = 0; c < 3; ++c) sums[3 * quarter + c] += *pixel++;
    }
  }
  std::array<std::uint8_t, 12> colors{};
  constexpr std::uint32_t pixels = side * side / 4;
  for (std::size_t i = 0; i < colors.size(); ++i)
    colors[i] = static_cast<std::uint8_t>((sums[i] + pixels / 2) / pixels);
  return colors;
}

}  // namespace

PerceptualHash perceptual_hash(const Image& image) {
  const Image small = resize(image, side, side, Interpolation::box);
  const auto coefficients = transform(brightness(small));
  float squares = 0;
  for (const float c : coefficients) squares += c * c;
  // Rounding alone must not decide about pictures of one colour.
  constexpr float noise = 1;
  const float threshold = std::max(noise, 0.5f * std::sqrt(squares / coefficients.size()));
  PerceptualHash hash;
  for (std::size_t i = 0; i < coefficients.size(); ++i) {
    if (coefficients[i] > threshold) hash.bits[i / 64] |= std::uint64_t{1} << (i % 64);
  }
  hash.colors = quarter_colors(small);
  return hash;
}

int hash_distance(const PerceptualHash& a, const PerceptualHash& b) {
  int distance = 0;
  for (std::size_t i = 0; i < a.bits.size(); ++i) distance += std::popcount(a.bits[i] ^ b.bits[i]);
  return distance;
}

int color_distance(const PerceptualHash& a, const PerceptualHash& b) {
  int largest = 0;
  for (std::size_t i = 0; i < a.colors.size(); ++i) largest = std::max(largest, std::abs(a.colors[i] - b.colors[i]));
  return largest;
}

bool looks_same(const PerceptualHash& a, const PerceptualHash& b, int bits, int colors) {
  const auto strong = [](const PerceptualHash& hash) {
    int count = 0;
    for (const std::uint64_t word : hash.bits) count += std::popcount(word);
    return count;
  };
  const int distance = hash_distance(a, b);
  return distance <= bits && 5 * distance <= strong(a) + strong(b) && color_distance(a, b) <= colors;
}

}  // namespace fovea::image
