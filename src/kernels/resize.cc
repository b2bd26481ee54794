#include "fovea/kernels/resize.h"

#include <algorithm>
#include <cstring>

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
using Quad = hn::Full128<std::int32_t>;  // red, green, blue and one to spare

constexpr int lanes = static_cast<int>(hn::MaxLanes(I32()));
constexpr int taps_per_vector = lanes / 4;
constexpr int half = 1 << (ResizeAxis::precision_bits - 1);

template <class D>
HWY_INLINE hn::Vec<Quad> sum_of_quads(D d, hn::Vec<D> v) {
  if constexpr (hn::MaxLanes(d) == 4) {
    return v;
  } else {
    const hn::Half<D> h;
    return sum_of_quads(h, hn::Add(hn::LowerHalf(h, v), hn::UpperHalf(h, v)));
  }
}

template <class D>
HWY_INLINE hn::Vec<hn::Rebind<std::uint8_t, D> > to_bytes(D, hn::Vec<D> sum) {
  return hn::DemoteTo(hn::Rebind<std::uint8_t, D>(), hn::ShiftRight<ResizeAxis::precision_bits>(sum));
}

// Every weight four times, for the channels of a pixel; zeros up to a multiple of four taps.
std::vector<std::int32_t> weights_per_channel(const ResizeAxis& axis, std::size_t padded_taps) {
  const auto outputs = static_cast<std::size_t>(axis.outputs), taps = static_cast<std::size_t>(axis.taps);
  std::vector<std::int32_t> wide(outputs * padded_taps * 4);
  for (std::size_t o = 0; o < outputs; ++o) {
    for (std::size_t k = 0; k < static_cast<std::size_t>(axis.count[o]); ++k)
      std::fill_n(&wide[(o * padded_taps + k) * 4], 4, axis.weights[o * taps + k]);
  }
  return wide;
}

// As many pixels as a vector holds, each as red, green, blue and a fourth number whose weight does not matter.
HWY_INLINE VI32 load_pixels(const std::uint8_t* p) {
  const I32 d;
  const hn::Rebind<std::uint8_t, I32> bytes;
  alignas(16) static constexpr std::uint8_t order[16] = {0, 1, 2, 2, 3, 4, 5, 5, 6, 7, 8, 8, 9, 10, 11, 11};
  return hn::PromoteTo(d, hn::TableLookupBytes(hn::LoadU(bytes, p), hn::Load(bytes, order)));
}

constexpr int rows_at_once = 4;

void resize_columns(const ResizeAxis& axis, int rows, const PixelRows<const std::uint8_t>& x,
                    const PixelRows<std::uint8_t>& y) {
  const I32 d;
  const std::size_t padded_taps = (static_cast<std::size_t>(axis.taps) + 3) / 4 * 4;
  const std::vector<std::int32_t> wide = weights_per_channel(axis, padded_taps);
  // Whole vectors are read from a copy with room behind it.
  const std::size_t row_bytes = 3 * static_cast<std::size_t>(axis.inputs);
  const std::size_t stride = row_bytes + 3 * padded_taps + 16;
  std::vector<std::uint8_t> copies(rows_at_once * stride);
  for (int r = 0; r < rows; r += rows_at_once) {
    const int count = std::min(rows_at_once, rows - r);
    for (int i = 0; i < count; ++i) std::memcpy(&copies[static_cast<std::size_t>(i) * stride], x.row(r + i), row_bytes);
    for (int o = 0; o < axis.outputs; ++o) {
      const auto place = static_cast<std::size_t>(o);
      const std::uint8_t* from = &copies[3 * static_cast<std::size_t>(axis.first[place])];
      const std::int32_t* weights = &wide[place * padded_taps * 4];
      VI32 s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
      for (int k = 0; k < axis.count[place]; k += taps_per_vector, from += 3 * taps_per_vector, weights += lanes) {
        const VI32 w = hn::LoadU(d, weights);
        s0 = hn::Add(s0, hn::Mul(w, load_pixels(from)));
        s1 = hn::Add(s1, hn::Mul(w, load_pixels(from + stride)));
        s2 = hn::Add(s2, hn::Mul(w, load_pixels(from + 2 * stride)));
        s3 = hn::Add(s3, hn::Mul(w, load_pixels(from + 3 * stride)));
      }
      const VI32 sums[rows_at_once] = {s0, s1, s2, s3};
      for (int i = 0; i < count; ++i) {
        const Quad quad;
        const auto sum = hn::Add(sum_of_quads(d, sums[i]), hn::Set(quad, half));
        std::uint8_t pixel[4];
        hn::StoreU(to_bytes(quad, sum), hn::Rebind<std::uint8_t, Quad>(), pixel);
        std::memcpy(y.row(r + i) + 3 * o, pixel, 3);
      }
    }
  }
}

// `vectors` vectors of one output row from byte `at` on; the inputs' rows begin at `x`.
template <int vectors>
HWY_INLINE void resize_bytes(const std::uint8_t* x, std::size_t stride, const std::int32_t* weights, int count,
                             std::uint8_t* y) {
  const I32 d;
  const hn::Rebind<std::uint8_t, I32> bytes;
  VI32 sums[vectors];
  for (VI32& sum : sums) sum = hn::Set(d, half);
  for (int k = 0; k < count; ++k, x += stride) {
    const VI32 w = hn::Set(d, weights[k]);
    for (int v = 0; v < vectors; ++v) {
      sums[v] = hn::Add(sums[v], hn::Mul(w, hn::PromoteTo(d, hn::LoadU(bytes, x + v * lanes))));
    }
  }
  for (int v = 0; v < vectors; ++v) hn::StoreU(to_bytes(d, sums[v]), bytes, y + v * lanes);
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
  HWY_DYNAMIC_DISPATCH(resize_columns)(axis, rows, x, y);
}

void resize_rows_u8(const ResizeAxis& axis, int width, PixelRows<const std::uint8_t> x, PixelRows<std::uint8_t> y) {
  HWY_DYNAMIC_DISPATCH(resize_rows)(axis, width, x, y);
}

}  // namespace fovea::kernels
#endif
