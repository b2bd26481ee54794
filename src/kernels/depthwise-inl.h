// Depthwise convolutions: one filter per channel. There is no product to share, so vectors run along the channels, and
// neighbouring pixels of a row are computed together. Included once per instruction set, after highway.h.
#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "fovea/core/parallel.h"
#include "fovea/kernels/conv.h"
#include "kernels/scratch.h"

#if defined(FOVEA_KERNELS_DEPTHWISE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FOVEA_KERNELS_DEPTHWISE_INL_H_
#undef FOVEA_KERNELS_DEPTHWISE_INL_H_
#else
#define FOVEA_KERNELS_DEPTHWISE_INL_H_
#endif

#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {

// One element of the filters as a row of pixels sees it: pixel j meets pixel j * step + offset of a row of another
// image, for the j of [begin, end) where that exists.
struct DepthwiseTap {
  const float* from;  // what pixel 0 meets, although that may lie outside
  float* weights;     // (C)
  std::int64_t begin, end;
};

class DepthwiseTaps {
 public:
  // Of rows with `pixels` pixels that meet rows of `width` pixels with `channels` channels.
  DepthwiseTaps(std::int64_t pixels, std::int64_t width, std::int64_t channels, std::int64_t step)
      : pixels_(pixels), width_(width), channels_(channels), step_(step) {}

  void clear() { taps_.clear(), begin_ = 0, end_ = pixels_; }
  void add(const float* row, std::int64_t offset, float* weights) {
    const std::int64_t begin = offset < 0 ? (-offset + step_ - 1) / step_ : 0;
    const std::int64_t end = offset < width_ ? std::min(pixels_, (width_ - offset + step_ - 1) / step_) : 0;
    taps_.push_back({row + offset * channels_, weights, begin, end});
    begin_ = std::max(begin_, begin);
    end_ = std::min(end_, end);
  }
  const std::vector<DepthwiseTap>& taps() const { return taps_; }
  std::int64_t stride() const { return step_ * channels_; }  // floats from what one pixel meets to the next
  // The pixels that all taps reach.
  std::int64_t begin() const { return std::min(begin_, pixels_); }
  std::int64_t end() const { return std::max(end_, begin()); }
  std::int64_t pixels() const { return pixels_; }
  std::int64_t channels() const { return channels_; }

 private:
  std::int64_t pixels_, width_, channels_, step_, begin_ = 0, end_ = 0;
  std::vector<DepthwiseTap> taps_;
};

// What pixels start from.
struct DepthwiseStart {
  const float* bias;  // (C), or null
  bool accumulate;    // start from what is there
};

// Pixels [j, j + count) of a row of the result, `out_stride` floats apart: start + sum over taps of weights * what the
// pixel meets. Taps that miss the pixel are left out if `clipped`, which asks for a count of 1.
template <int count, bool clipped>
HWY_INLINE void depthwise_pixels(const DepthwiseTaps& row, std::int64_t j, const DepthwiseStart& start, float* out,
                                 std::int64_t out_stride) {
  const F32 d;
  const std::int64_t stride = row.stride();
  for_lanes(row.channels(), [&](std::int64_t c, auto lanes) {
    VF32 sum[count];
    for (int p = 0; p < count; ++p) {
      const float* at = out + (j + p) * out_stride + c;
      sum[p] = start.accumulate ? lanes.load(at) : start.bias ? lanes.load(start.bias + c) : hn::Zero(d);
    }
    for (const DepthwiseTap& tap : row.taps()) {
      if (clipped && (j < tap.begin || j >= tap.end)) continue;
      const VF32 weight = lanes.load(tap.weights + c);
      const float* from = tap.from + j * stride + c;
      for (int p = 0; p < count; ++p) sum[p] = hn::MulAdd(lanes.load(from + p * stride), weight, sum[p]);
    }
    for (int p = 0; p < count; ++p) lanes.store(sum[p], out + (j + p) * out_stride + c);
  });
}

HWY_INLINE void depthwise_row(const DepthwiseTaps& row, const DepthwiseStart& start, float* out,
                              std::int64_t out_stride) {
  std::int64_t j = 0;
  for (; j < row.begin(); ++j) depthwise_pixels<1, true>(row, j, start, out, out_stride);
  for (; j + 4 <= row.end(); j += 4) depthwise_pixels<4, false>(row, j, start, out, out_stride);
  for (; j < row.pixels(); ++j) depthwise_pixels<1, true>(row, j, start, out, out_stride);
}

// out (columns, rows) = transposed in (rows, columns).
HWY_INLINE void transpose_small(const float* in, std::int64_t rows, std::int64_t columns, float* out) {
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) out[j * rows + i] = in[i * columns + j];
  }
}

void depthwise(const Conv2dShape& s, const float* x, const float* w, const float* bias, float* y) {
  const Scratch<float> filters(s.kh * s.kw * s.c);  // (KH, KW, C)
  transpose_small(w, s.c, s.kh * s.kw, filters.data());
  parallel_for(s.n * s.out_h(), 4, [&](std::int64_t row, std::int64_t end) {
    DepthwiseTaps taps(s.out_w(), s.w, s.c, s.stride);
    for (; row < end; ++row) {
      const std::int64_t n = row / s.out_h(), top = row % s.out_h() * s.stride - s.padding;
      taps.clear();
      for (std::int64_t ky = std::max<std::int64_t>(0, -top); ky < std::min(s.kh, s.h - top); ++ky) {
        for (std::int64_t kx = 0; kx < s.kw; ++kx) {
          taps.add(x + (n * s.h + top + ky) * s.w * s.c, kx - s.padding, filters.data() + (ky * s.kw + kx) * s.c);
        }
      }
      depthwise_row(taps, {bias, false}, y + row * s.out_w() * s.c, s.c);
    }
  });
}

// Pixels of a row of dx that are `stride` apart meet neighbouring pixels of dy.
void depthwise_input_grad(const Conv2dShape& s, const float* dy, const float* w, float* dx, bool accumulate) {
  const Scratch<float> filters(s.kh * s.kw * s.c);  // (KH, KW, C)
  transpose_small(w, s.c, s.kh * s.kw, filters.data());
  parallel_for(s.n * s.h, 4, [&](std::int64_t row, std::int64_t end) {
    for (; row < end; ++row) {
      const std::int64_t n = row / s.h, iy = row % s.h + s.padding;
      for (std::int64_t first = 0; first < std::min(s.stride, s.w); ++first) {
        DepthwiseTaps taps((s.w - first + s.stride - 1) / s.stride, s.out_w(), s.c, 1);
        taps.clear();
        for (std::int64_t ky = iy % s.stride; ky < std::min(s.kh, iy + 1); ky += s.stride) {
          const std::int64_t oy = (iy - ky) / s.stride;
          if (oy >= s.out_h()) continue;
          const std::int64_t ix = first + s.padding;
          for (std::int64_t kx = ix % s.stride; kx < s.kw; kx += s.stride) {
            taps.add(dy + (n * s.out_h() + oy) * s.out_w() * s.c, (ix - kx) / s.stride,
                     filters.data() + (ky * s.kw + kx) * s.c);
          }
        }
        depthwise_row(taps, {nullptr, accumulate}, dx + (row * s.w + first) * s.c, s.stride * s.c);
      }
    }
  });
}

// Adds to the weights of taps [i, i + count) the sums over a row's pixels [begin, end) of dy times what they meet.
template <int count>
HWY_INLINE void depthwise_sums(const DepthwiseTaps& row, std::size_t i, const float* dy, std::int64_t begin,
                               std::int64_t end) {
  if (begin >= end) return;
  const F32 d;
  const std::int64_t stride = row.stride(), channels = row.channels();
  for_lanes(channels, [&](std::int64_t c, auto lanes) {
    VF32 sum[count];
    const float* from[count];
    for (int t = 0; t < count; ++t) {
      sum[t] = hn::Zero(d);
      from[t] = row.taps()[i + static_cast<std::size_t>(t)].from + c;
    }
    for (std::int64_t j = begin; j < end; ++j) {
      const VF32 g = lanes.load(dy + j * channels + c);
      for (int t = 0; t < count; ++t) sum[t] = hn::MulAdd(lanes.load(from[t] + j * stride), g, sum[t]);
    }
    for (int t = 0; t < count; ++t) {
      float* weights = row.taps()[i + static_cast<std::size_t>(t)].weights + c;
      lanes.store(hn::Add(lanes.load(weights), sum[t]), weights);
    }
  });
}

// Adds a row's part of the gradient to every tap's weights.
HWY_INLINE void depthwise_row_sums(const DepthwiseTaps& row, const float* dy) {
  const std::size_t taps = row.taps().size();
  std::size_t i = 0;
  for (; i + 5 <= taps; i += 5) depthwise_sums<5>(row, i, dy, row.begin(), row.end());
  if (i + 4 <= taps) depthwise_sums<4>(row, i, dy, row.begin(), row.end()), i += 4;
  for (; i < taps; ++i) depthwise_sums<1>(row, i, dy, row.begin(), row.end());
  for (i = 0; i < taps; ++i) {  // at the borders
    const DepthwiseTap& tap = row.taps()[i];
    depthwise_sums<1>(row, i, dy, tap.begin, std::min(tap.end, row.begin()));
    depthwise_sums<1>(row, i, dy, std::max(tap.begin, row.end()), tap.end);
  }
}

void depthwise_weight_grad(const Conv2dShape& s, const float* x, const float* dy, float* dw, bool accumulate) {
  constexpr std::int64_t parts = 16;  // partial sums, a constant: the bits do not depend on the number of threads
  const std::int64_t rows = s.n * s.out_h(), size = s.kh * s.kw * s.c;
  const std::int64_t grain = std::max<std::int64_t>(1, (rows + parts - 1) / parts);
  const Scratch<float> partial(std::max<std::int64_t>(1, chunk_count(rows, grain)) * size);
  parallel_for(rows, grain, [&](std::int64_t row, std::int64_t end) {
    float* sums = partial.data() + row / grain * size;
    std::fill(sums, sums + size, 0.0f);
    DepthwiseTaps taps(s.out_w(), s.w, s.c, s.stride);
    for (; row < end; ++row) {
      const std::int64_t n = row / s.out_h(), top = row % s.out_h() * s.stride - s.padding;
      taps.clear();
      for (std::int64_t ky = std::max<std::int64_t>(0, -top); ky < std::min(s.kh, s.h - top); ++ky) {
        for (std::int64_t kx = 0; kx < s.kw; ++kx) {
          taps.add(x + (n * s.h + top + ky) * s.w * s.c, kx - s.padding, sums + (ky * s.kw + kx) * s.c);
        }
      }
      depthwise_row_sums(taps, dy + row * s.out_w() * s.c);
    }
  });
  for (std::int64_t part = 1; part < chunk_count(rows, grain); ++part) {
    for (std::int64_t i = 0; i < size; ++i) partial[i] += partial[part * size + i];
  }
  for (std::int64_t i = 0; i < size; ++i) {
    const std::int64_t at = i % s.c * s.kh * s.kw + i / s.c;
    const float value = rows > 0 ? partial[i] : 0.0f;
    dw[at] = accumulate ? dw[at] + value : value;
  }
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
