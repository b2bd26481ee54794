// A decoded picture.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "fovea/core/export.h"

namespace fovea::image {

using Color = std::array<std::uint8_t, 3>;  // red, green, blue

namespace detail {

// Memory of pictures, which the next pictures use again: giving it back to the system and asking for it anew costs a
// large part of decoding. Safe to call from several threads.
FOVEA_API void* take_pixels(std::size_t bytes);
FOVEA_API void give_back_pixels(void* block, std::size_t bytes) noexcept;

template <class T>
struct PixelAllocator {
  using value_type = T;
  T* allocate(std::size_t n) { return static_cast<T*>(take_pixels(n * sizeof(T))); }
  void deallocate(T* block, std::size_t n) noexcept { give_back_pixels(block, n * sizeof(T)); }
  friend bool operator==(const PixelAllocator&, const PixelAllocator&) { return true; }
};

}  // namespace detail

using Pixels = std::vector<std::uint8_t, detail::PixelAllocator<std::uint8_t>>;

struct Size {
  int width, height;

  friend bool operator==(const Size&, const Size&) = default;
};

// RGB, 8 bits a channel, rows from top to bottom without gaps: (height, width, 3).
struct Image {
  static constexpr int channels = 3;

  int width = 0, height = 0;
  Pixels pixels;

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
