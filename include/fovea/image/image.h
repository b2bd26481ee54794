// A decoded picture.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace fovea::image {

using Color = std::array<std::uint8_t, 3>;  // red, green, blue

struct Size {
  int width, height;

  friend bool operator==(const Size&, const Size&) = default;
};

// RGB, 8 bits a channel, rows from top to bottom without gaps: (height, width, 3).
struct Image {
  static constexpr int channels = 3;

  int width = 0, height = 0;
  std::vector<std::uint8_t> pixels;

  Image() = default;
  Image(int w, int h)
      : width(w), height(h), pixels(static_cast<std::size_t>(w) * static_cast<std::size_t>(h) * channels) {}

  Size size() const { return {width, height}; }
  const std::uint8_t* row(int y) const { return pixels.data() + static_cast<std::size_t>(y) * row_bytes(); }
  std::uint8_t* row(int y) { return pixels.data() + static_cast<std::size_t>(y) * row_bytes(); }
  std::size_t row_bytes() const { return static_cast<std::size_t>(width) * channels; }

  friend bool operator==(const Image&, const Image&) = default;
};

}  // namespace fovea::image
