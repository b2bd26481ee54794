#include "fovea/kernels/resize.h"

#include <algorithm>
#include <cstring>

#include "fovea/core/cpu.h"
#include "fovea/kernels/resize_reference.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/resize.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR

void resize_columns(const ResizeAxis& axis, int rows, const PixelRows<const std::uint8_t>& x,
                    const PixelRows<std::uint8_t>& y) {
  resize_columns_reference(axis, rows, x, y);
}

void resize_rows(const ResizeAxis& axis, int width, const PixelRows<const std::uint8_t>& x,
                 const PixelRows<std::uint8_t>& y) {
  resize_rows_reference(axis, width, x, y);
}

#else

using I32 = hn::CappedTag<std::int32_t, 16>;
using VI32 = hn::Vec<I32>;
using Bytes = hn::Rebind<std::uint8_t, I32>;
using Bytes16 = hn::Full128<std::uint8_t>;
using Vec16 = hn::Vec<Bytes16>;

constexpr int lanes = static_cast<int>(hn::MaxLanes(I32()));
constexpr int half = 1 << (ResizeAxis::precision_bits - 1);

HWY_INLINE hn::Vec<Bytes> to_bytes(VI32 sum) {
  return hn::DemoteTo(Bytes(), hn::ShiftRight<ResizeAxis::precision_bits>(sum));
}

// Rows are resized four at a time, so that a vector's lanes do the same without any shuffling: one column of four rows
// is 16 bytes, red, green, blue and one to spare of each.
constexpr int group = 4;
constexpr int column_bytes = 4 * group;

// Four vectors of four 32-bit numbers: number i of vector j becomes number j of vector i.
HWY_INLINE void transpose(Vec16& a, Vec16& b, Vec16& c, Vec16& d) {
  const hn::Full128<std::uint32_t> words;
  const hn::Full128<std::uint64_t> pairs;
  const auto ab0 = hn::BitCast(pairs, hn::InterleaveLower(words, hn::BitCast(words, a), hn::BitCast(words, b)));
  const auto ab1 = hn::BitCast(pairs, hn::InterleaveUpper(words, hn::BitCast(words, a), hn::BitCast(words, b)));
  const auto cd0 = hn::BitCast(pairs, hn::InterleaveLower(words, hn::BitCast(words, c), hn::BitCast(words, d)));
  const auto cd1 = hn::BitCast(pairs, hn::InterleaveUpper(words, hn::BitCast(words, c), hn::BitCast(words, d)));
  a = hn::BitCast(Bytes16(), hn::InterleaveLower(pairs, ab0, cd0));
  b = hn::BitCast(Bytes16(), hn::InterleaveUpper(pairs, ab0, cd0));
  c = hn::BitCast(Bytes16(), hn::InterleaveLower(pairs, ab1, cd1));
  d = hn::BitCast(Bytes16(), hn::InterleaveUpper(pairs, ab1, cd1));
}

// Four rows of `width` pixels to `width` columns.
void rows_to_columns(const std::uint8_t* const rows[group], int width, std::uint8_t* columns) {
  const Bytes16 d;
  alignas(16) static constexpr std::uint8_t order[16] = {0, 1, 2, 2, 3, 4, 5, 5, 6, 7, 8, 8, 9, 10, 11, 11};
  const Vec16 spread = hn::Load(d, order);
  int x = 0;
  for (; 3 * x + 16 <= 3 * width; x += 4, columns += 4 * column_bytes) {
    Vec16 v[group];
    for (int i = 0; i < group; ++i) v[i] = hn::TableLookupBytes(hn::LoadU(d, rows[i] + 3 * x), spread);
    transpose(v[0], v[1], v[2], v[3]);
    for (int i = 0; i < 4; ++i) hn::StoreU(v[i], d, columns + i * column_bytes);
  }
  for (; x < width; ++x, columns += column_bytes) {
    for (int i = 0; i < group; ++i) std::memcpy(columns + 4 * i, rows[i] + 3 * x, 3);
  }
}

// And back; the first `count` rows alone.
void columns_to_rows(const std::uint8_t* columns, int width, int count, std::uint8_t* const rows[group]) {
  const Bytes16 d;
  alignas(16) static constexpr std::uint8_t order[16] = {0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 14, 14, 14, 14};
  const Vec16 close = hn::Load(d, order);
  int x = 0;
  for (; 3 * x + 16 <= 3 * width; x += 4, columns += 4 * column_bytes) {
    Vec16 v[group];
    for (int i = 0; i < 4; ++i) v[i] = hn::LoadU(d, columns + i * column_bytes);
    transpose(v[0], v[1], v[2], v[3]);
    for (int i = 0; i < count; ++i) hn::StoreU(hn::TableLookupBytes(v[i], close), d, rows[i] + 3 * x);
  }
  for (; x < width; ++x, columns += column_bytes) {
    for (int i = 0; i < count; ++i) std::memcpy(rows[i] + 3 * x, columns + 4 * i, 3);
  }
}

// `vectors` vectors of an output; its inputs lie `stride` bytes apart from `x` on.
template <int vectors>
HWY_INLINE void resize_bytes(const std::uint8_t* x, std::size_t stride, const std::int32_t* weights, int count,
                             std::uint8_t* y) {
  const I32 d;
  const Bytes bytes;
  VI32 sums[vectors];
  for (VI32& sum : sums) sum = hn::Set(d, half);
  for (int k = 0; k < count; ++k, x += stride) {
    const VI32 w = hn::Set(d, weights[k]);
    for (int v = 0; v < vectors; ++v) {
      sums[v] = hn::Add(sums[v], hn::Mul(w, hn::PromoteTo(d, hn::LoadU(bytes, x + v * lanes))));
    }
  }
  for (int v = 0; v < vectors; ++v) hn::StoreU(to_bytes(sums[v]), bytes, y + v * lanes);
}

void resize_columns(const ResizeAxis& axis, int rows, const PixelRows<const std::uint8_t>& x,
                    const PixelRows<std::uint8_t>& y) {
  std::vector<std::uint8_t> from(static_cast<std::size_t>(axis.inputs) * column_bytes);
  std::vector<std::uint8_t> to(static_cast<std::size_t>(axis.outputs) * column_bytes);
  for (int r = 0; r < rows; r += group) {
    const int count = std::min(group, rows - r);
    const std::uint8_t* inputs[group];
    std::uint8_t* outputs[group];
    for (int i = 0; i < group; ++i) {
      inputs[i] = x.row(r + std::min(i, count - 1));
      outputs[i] = y.row(r + std::min(i, count - 1));
    }
    rows_to_columns(inputs, axis.inputs, from.data());
    for (std::size_t o = 0; o < static_cast<std::size_t>(axis.outputs); ++o) {
      resize_bytes<column_bytes / lanes>(&from[static_cast<std::size_t>(axis.first[o]) * column_bytes], column_bytes,
                                         &axis.weights[o * static_cast<std::size_t>(axis.taps)], axis.count[o],
                                         &to[o * column_bytes]);
    }
    columns_to_rows(to.data(), axis.outputs, count, outputs);
  }
}

void resize_rows(const ResizeAxis& axis, int width, const PixelRows<const std::uint8_t>& x,
                 const PixelRows<std::uint8_t>& y) {
  if (3 * width < lanes) return resize_rows_reference(axis, width, x, y);
  for (int o = 0; o < axis.outputs; ++o) {
    const auto place = static_cast<std::size_t>(o);
    const std::uint8_t* from = x.row(axis.first[place]);
    const std::int32_t* weights = &axis.weights[place * static_cast<std::size_t>(axis.taps)];
    int i = 0;
    for (; i + 4 * lanes <= 3 * width; i += 4 * lanes)
      resize_bytes<4>(from + i, x.stride, weights, axis.count[place], y.row(o) + i);
    for (; i + lanes <= 3 * width; i += lanes)
      resize_bytes<1>(from + i, x.stride, weights, axis.count[place], y.row(o) + i);
    const int last = 3 * width - lanes;  // what is left goes once more over bytes that are done
    if (i < 3 * width) resize_bytes<1>(from + last, x.stride, weights, axis.count[place], y.row(o) + last);
  }
}

#endif

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::kernels {

HWY_EXPORT(resize_columns);
HWY_EXPORT(resize_rows);

void resize_columns_u8(const ResizeAxis& axis, int rows, PixelRows<const std::uint8_t> x, PixelRows<std::uint8_t> y) {
  static_cast<void>(cpu::active_isa());  // FOVEA_MAX_ISA must hold even when nothing else computes
  HWY_DYNAMIC_DISPATCH(resize_columns)(axis, rows, x, y);
}

void resize_rows_u8(const ResizeAxis& axis, int width, PixelRows<const std::uint8_t> x, PixelRows<std::uint8_t> y) {
  static_cast<void>(cpu::active_isa());
  HWY_DYNAMIC_DISPATCH(resize_rows)(axis, width, x, y);
}

}  // namespace fovea::kernels
#endif
