// Resizing of 8-bit pictures, written plainly: what resize_columns_u8 and resize_rows_u8 equal bit for bit.
#pragma once

#include "fovea/kernels/resize.h"

namespace fovea::kernels {

inline std::uint8_t pixel_from_fixed(std::int64_t sum) {
  const std::int64_t value = (sum + (1 << (ResizeAxis::precision_bits - 1))) >> ResizeAxis::precision_bits;
  return static_cast<std::uint8_t>(value < 0 ? 0 : value > 255 ? 255 : value);
}

// One byte of output o; its inputs lie `step` bytes apart from `x` on.
inline std::uint8_t resize_reference(const ResizeAxis& axis, int o, const std::uint8_t* x, std::size_t step) {
  const auto i = static_cast<std::size_t>(o);
  const std::int32_t* weights = axis.weights.data() + i * static_cast<std::size_t>(axis.taps);
  x += static_cast<std::size_t>(axis.first[i]) * step;
  std::int64_t sum = 0;
  for (int k = 0; k < axis.count[i]; ++k, x += step) sum += std::int64_t{*x} * weights[k];
  return pixel_from_fixed(sum);
}

inline void resize_columns_reference(const ResizeAxis& axis, int rows, PixelRows<const std::uint8_t> x,
                                     PixelRows<std::uint8_t> y) {
  for (int r = 0; r < rows; ++r) {
    for (int o = 0; o < axis.outputs; ++o) {
      for (int c = 0; c < 3; ++c) y.row(r)[3 * o + c] = resize_reference(axis, o, x.row(r) + c, 3);
    }
  }
}

inline void resize_rows_reference(const ResizeAxis& axis, int width, PixelRows<const std::uint8_t> x,
                                  PixelRows<std::uint8_t> y) {
  for (int o = 0; o < axis.outputs; ++o) {
    for (int i = 0; i < 3 * width; ++i) y.row(o)[i] = resize_reference(axis, o, x.data + i, x.stride);
  }
}

}  // namespace fovea::kernels
