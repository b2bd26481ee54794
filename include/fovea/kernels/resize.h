// Weighted sums of neighbouring pixels along one axis of an 8-bit RGB picture, in fixed point.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "fovea/core/export.h"

namespace fovea::kernels {

// Output o is made of the inputs [first[o], first[o] + count[o]): their sum, weighted with weights[o * taps + k] /
// 2^22, rounded and clamped to 0..255. The products of 0..255 with a row's weights must sum to less than 2^31 in size.
struct ResizeAxis {
  static constexpr int precision_bits = 32 - 8 - 2;  // 8 for the result, 2 for the overshoot of negative lobes

  int inputs = 0, outputs = 0;
  int taps = 0;                       // room per output
  std::vector<int> first, count;      // (outputs)
  std::vector<std::int32_t> weights;  // (outputs, taps)
};

// Rows of pixels in memory: row y begins at data + y * stride, and its pixels' 3 bytes follow each other.
template <class Byte>
struct PixelRows {
  Byte* data;
  std::size_t stride;

  Byte* row(int y) const { return data + static_cast<std::size_t>(y) * stride; }
};

// Changes the width: `rows` rows of axis.inputs pixels become rows of axis.outputs.
FOVEA_API void resize_columns_u8(const ResizeAxis& axis, int rows, PixelRows<const std::uint8_t> x,
                                 PixelRows<std::uint8_t> y);

// Changes the height: axis.inputs rows of `width` pixels become axis.outputs.
FOVEA_API void resize_rows_u8(const ResizeAxis& axis, int width, PixelRows<const std::uint8_t> x,
                              PixelRows<std::uint8_t> y);

}  // namespace fovea::kernels
