#include "fovea/kernels/conv.h"

#include <array>
#include <vector>

#include "fovea/core/profile.h"
#include "fovea/kernels/gemm.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/depthwise-inl.h"
#include "kernels/gemm-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {

constexpr std::int64_t short_run = 16;  // channels below which a padded copy of the images pays for longer runs

// k as runs of equal length: a patch's pixels, or its rows.
struct RunBlocks {
  std::int64_t runs, length;
  std::int64_t runs_per_block() const { return std::max<std::int64_t>(1, k_block / length); }
  std::int64_t blocks() const { return std::max<std::int64_t>(1, (runs + runs_per_block() - 1) / runs_per_block()); }
  KBlock block(std::int64_t i) const {
    const std::int64_t first = i * runs_per_block();
    return {first * length, std::min(runs_per_block(), runs - first), length};
  }
};

// The input patch under each pixel of the result, for one group of channels. Without padding or groups the KW pixels of
// a patch row are one run; otherwise each pixel is one, and those outside the image read zeros.
struct Patches {
  Conv2dShape s;
  const float* x;
  const float* zeros;  // at least group_c() of them
  std::int64_t group;
  std::int64_t out_h = s.out_h(), out_w = s.out_w();

  bool whole_rows() const { return !s.padded() && s.groups == 1; }
  RunBlocks runs() const { return whole_rows() ? RunBlocks{s.kh, s.kw * s.c} : RunBlocks{s.kh * s.kw, s.group_c()}; }

  // A pixel of the result, walked in order.
  struct Pixel {
    std::int64_t n, y, x;
  };
  Pixel pixel(std::int64_t index) const {
    const std::int64_t row = index / out_w;
    return {row / out_h, row % out_h, index % out_w};
  }
  void advance(Pixel& p) const {
    if (++p.x < out_w) return;
    p.x = 0;
    if (++p.y < out_h) return;
    p.y = 0;
    ++p.n;
  }

  // A run inside the patch.
  struct Run {
    std::int64_t ky, kx, offset;  // offset: from the patch's corner, in elements
  };
  Run run(std::int64_t index) const {
    const std::int64_t ky = whole_rows() ? index : index / s.kw, kx = whole_rows() ? 0 : index % s.kw;
    return {ky, kx, (ky * s.w + kx) * s.c + group * s.group_c()};
  }

  // The patch of one pixel; its corner may lie outside the image.
  struct Patch {
    const float* corner;
    std::int64_t top, left;
    bool inside;
  };
  Patch patch(const Pixel& p) const {
    const std::int64_t top = p.y * s.stride - s.padding, left = p.x * s.stride - s.padding;
    return {x + ((p.n * s.h + top) * s.w + left) * s.c, top, left,
            top >= 0 && left >= 0 && top + s.kh <= s.h && left + s.kw <= s.w};
  }
  const float* at(const Patch& patch, const Run& run) const {
    const std::int64_t iy = patch.top + run.ky, ix = patch.left + run.kx;
    return patch.inside || (iy >= 0 && iy < s.h && ix >= 0 && ix < s.w) ? patch.corner + run.offset : zeros;
  }
};

// Patches as rows of A.
struct PatchesA : RunBlocks {
  static constexpr bool packed = false;
  Patches patches;
  explicit PatchesA(const Patches& from) : RunBlocks(from.runs()), patches(from) {}

  void fill(std::int64_t row, std::int64_t row_end, const KBlock& block, const float** table) const {
    std::array<Patches::Patch, tile_rows> rows;
    Patches::Pixel pixel = patches.pixel(row);
    for (int i = 0; i < tile_rows; ++i) {
      rows[static_cast<std::size_t>(i)] = patches.patch(pixel);
      if (row + i + 1 < row_end) patches.advance(pixel);
    }
    const std::int64_t first = block.begin / length;
    for (std::int64_t r = 0; r < block.segments; ++r, table += tile_rows) {
      const Patches::Run run = patches.run(first + r);
      for (int i = 0; i < tile_rows; ++i) table[i] = patches.at(rows[static_cast<std::size_t>(i)], run);
    }
  }
};

// Patches as rows of B: k counts pixels, columns the elements of a patch.
struct PatchesB {
  static constexpr bool by_rows = true;
  Patches patches;

  struct Piece {
    Patches::Run run;
    std::int64_t from, count, to;
  };
  void pack(std::int64_t k, std::int64_t k_end, std::int64_t n, std::int64_t n_end, std::int64_t columns,
            float* out) const {
    const F32 d;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    const std::int64_t length = patches.runs().length;
    std::array<Piece, tile_vectors * HWY_MAX_BYTES / sizeof(float)> pieces;
    std::size_t count = 0;
    for (std::int64_t j = n; j < n_end; j += pieces[count++].count) {
      pieces[count] = {patches.run(j / length), j % length, std::min(length - j % length, n_end - j), j - n};
    }
    Patches::Pixel pixel = patches.pixel(k);
    for (; k < k_end; ++k, out += columns, patches.advance(pixel)) {
      const Patches::Patch patch = patches.patch(pixel);
      for (std::size_t i = 0; i < count; ++i) {
        const Piece& piece = pieces[i];
        const float* from = patches.at(patch, piece.run) + piece.from;
        std::int64_t j = 0;
        for (; j + lanes <= piece.count; j += lanes) hn::StoreU(hn::LoadU(d, from + j), d, out + piece.to + j);
        for (; j < piece.count; ++j) out[piece.to + j] = from[j];
      }
      for (std::int64_t j = n_end - n; j < columns; ++j) out[j] = 0.0f;
    }
  }
};

// The pixels of dx whose coordinates agree modulo the stride see the same filter taps, each at its own pixel of dy.
// With stride 1 there is one such phase.
struct Phase {
  Conv2dShape s;
  std::int64_t py, px;            // remainders of (coordinate + padding)
  std::int64_t first_y, first_x;  // in dx
  std::int64_t rows, columns, taps_y, taps_x;

  Phase(const Conv2dShape& shape, std::int64_t y, std::int64_t x)
      : s(shape),
        py(y),
        px(x),
        first_y(first(y, s.padding, s.stride)),
        first_x(first(x, s.padding, s.stride)),
        rows(count(s.h, first_y, s.stride)),
        columns(count(s.w, first_x, s.stride)),
        taps_y(count(s.kh, y, s.stride)),
        taps_x(count(s.kw, x, s.stride)) {}
  std::int64_t pixels() const { return s.n * rows * columns; }

  struct Pixel {
    std::int64_t n, y, x;  // in the phase
  };
  Pixel pixel(std::int64_t i) const {
    const std::int64_t row = i / columns;
    return {row / rows, row % rows, i % columns};
  }
  void advance(Pixel& p) const {
    if (++p.x < columns) return;
    p.x = 0;
    if (++p.y < rows) return;
    p.y = 0;
    ++p.n;
  }

 private:
  static std::int64_t first(std::int64_t remainder, std::int64_t padding, std::int64_t stride) {
    return ((remainder - padding) % stride + stride) % stride;
  }
  static std::int64_t count(std::int64_t extent, std::int64_t start, std::int64_t stride) {
    return start >= extent ? 0 : (extent - start + stride - 1) / stride;
  }
};

// For each pixel of a phase, the pixels of dy that its taps reach, as rows of A.
struct OutputTapsA : RunBlocks {
  static constexpr bool packed = false;
  Phase phase;
  const float* dy;
  const float* zeros;
  std::int64_t group;
  OutputTapsA(const Phase& at, const float* grad, const float* zero, std::int64_t which)
      : RunBlocks{at.taps_y * at.taps_x, at.s.group_o()}, phase(at), dy(grad), zeros(zero), group(which) {}

  // The pixel of dy under the first tap, which may lie outside; the others lie above and to the left.
  struct Corner {
    const float* from;
    std::int64_t y, x;
    bool inside;  // with all taps
  };
  void fill(std::int64_t row, std::int64_t row_end, const KBlock& block, const float** table) const {
    const Conv2dShape& s = phase.s;
    const std::int64_t first_run = block.begin / length, height = s.out_h(), width = s.out_w();
    const std::int64_t shift_y = (phase.first_y + s.padding - phase.py) / s.stride;
    const std::int64_t shift_x = (phase.first_x + s.padding - phase.px) / s.stride;
    std::array<Corner, tile_rows> rows;
    Phase::Pixel pixel = phase.pixel(row);
    for (int i = 0; i < tile_rows; ++i) {
      const std::int64_t y = pixel.y + shift_y, x = pixel.x + shift_x;
      rows[static_cast<std::size_t>(i)] = {dy + ((pixel.n * height + y) * width + x) * s.o + group * s.group_o(), y, x,
                                           y < height && x < width && y + 1 >= phase.taps_y && x + 1 >= phase.taps_x};
      if (row + i + 1 < row_end) phase.advance(pixel);
    }
    for (std::int64_t r = 0; r < block.segments; ++r, table += tile_rows) {
      const std::int64_t ty = (first_run + r) / phase.taps_x, tx = (first_run + r) % phase.taps_x;
      const std::int64_t back = (ty * width + tx) * s.o;
      for (int i = 0; i < tile_rows; ++i) {
        const Corner& at = rows[static_cast<std::size_t>(i)];
        const std::int64_t y = at.y - ty, x = at.x - tx;
        table[i] = at.inside || (y >= 0 && y < height && x >= 0 && x < width) ? at.from - back : zeros;
      }
    }
  }
};

// Filters of a phase as rows of B: k counts taps and, inside them, filters; columns are input channels.
struct TapFiltersB {
  static constexpr bool by_rows = false;
  Phase phase;
  const float* w;
  std::int64_t group;

  void pack(std::int64_t k, std::int64_t k_end, std::int64_t n, std::int64_t n_end, std::int64_t columns,
            float* out) const {
    const Conv2dShape& s = phase.s;
    for (; k < k_end; ++k, out += columns) {
      const std::int64_t tap = k / s.group_o(), o = group * s.group_o() + k % s.group_o();
      const std::int64_t ky = phase.py + tap / phase.taps_x * s.stride, kx = phase.px + tap % phase.taps_x * s.stride;
      const float* from = w + ((o * s.kh + ky) * s.kw + kx) * s.group_c();
      std::copy(from + n, from + n_end, out);
      std::fill(out + (n_end - n), out + columns, 0.0f);
    }
  }
};

struct PhaseC {
  Phase phase;
  float* dx;
  std::int64_t group;
  float* row(std::int64_t i) const {
    const Conv2dShape& s = phase.s;
    const Phase::Pixel p = phase.pixel(i);
    const std::int64_t y = phase.first_y + p.y * s.stride, x = phase.first_x + p.x * s.stride;
    return dx + ((p.n * s.h + y) * s.w + x) * s.c + group * s.group_c();
  }
};

// Copies the images with their padding written out.
void pad_images(const Conv2dShape& s, const float* x, float* out) {
  const std::int64_t height = s.padded_h(), row = s.padded_w() * s.c;
  parallel_for(s.n * height, 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      float* to = out + i * row;
      const std::int64_t y = i % height - s.padding;
      std::fill(to, to + row, 0.0f);
      if (y < 0 || y >= s.h) continue;
      const float* from = x + ((i / height) * s.h + y) * s.w * s.c;
      std::copy(from, from + s.w * s.c, to + s.padding * s.c);
    }
  });
}

// The patches of a convolution, for whichever form of them reads fastest.
class PatchSource {
 public:
  PatchSource(const Conv2dShape& s, const float* x)
      : shape_(s),
        x_(x),
        copied_(s.groups == 1 && s.padded() && s.c < short_run),
        zeros_(s.group_c()),
        padded_(copied_ ? s.n * s.padded_h() * s.padded_w() * s.c : 0) {
    std::fill(zeros_.data(), zeros_.data() + s.group_c(), 0.0f);
    if (!copied_) return;
    pad_images(s, x, padded_.data());
    x_ = padded_.data();
    shape_.h = s.padded_h();
    shape_.w = s.padded_w();
    shape_.padding = shape_.end_padding = 0;
  }
  Patches group(std::int64_t g) const { return {shape_, x_, zeros_.data(), g}; }

 private:
  Conv2dShape shape_;
  const float* x_;
  bool copied_;
  Scratch<float> zeros_, padded_;
};

void conv2d(const Conv2dShape& s, const float* x, const float* w, const float* bias, float* y) {
  const PatchSource source(s, x);
  for (std::int64_t g = 0; g < s.groups; ++g) {
    const std::int64_t o = g * s.group_o();
    multiply(s.pixels(), s.group_o(), PatchesA(source.group(g)), TransposedB{w + o * s.filter_size(), s.filter_size()},
             RowMajorC{y + o, s.o}, y, {.bias = bias ? bias + o : nullptr});
  }
}

void conv2d_input_grad(const Conv2dShape& s, const float* dy, const float* w, float* dx, bool accumulate) {
  const Scratch<float> zeros(s.group_o());
  std::fill(zeros.data(), zeros.data() + s.group_o(), 0.0f);
  for (std::int64_t g = 0; g < s.groups; ++g) {
    for (std::int64_t i = 0; i < s.stride * s.stride; ++i) {
      const Phase phase(s, i / s.stride, i % s.stride);
      multiply(phase.pixels(), s.group_c(), OutputTapsA(phase, dy, zeros.data(), g), TapFiltersB{phase, w, g},
               PhaseC{phase, dx, g}, dx, {.accumulate = accumulate});
    }
  }
}

// The gradient of filters reads images and dy where they lie: a tile of it is tile_rows elements of a patch by some
// vectors of filters, summed over pixels.

// Neighbouring pixels of a row of dy, and the element of the patch of the first of them.
struct PixelRun {
  const float *x, *dy;
  std::int64_t count;
};

// Adds a tile, or stores it if `first`. `skip` of its rows belong to the tile before.
struct WeightTile {
  std::int64_t x_offset, x_step, dy_offset, dy_step;  // from one pixel to the next
  std::int64_t skip;
  bool first;
  float* sums;
  std::int64_t stride;
};

template <int vectors>
HWY_NOINLINE void sum_weight_tile(const PixelRun* HWY_RESTRICT runs, std::size_t count, const WeightTile& tile) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t x_step = tile.x_step, dy_step = tile.dy_step;
  VF32 sum[tile_rows][vectors];
#pragma GCC unroll 16
  for (int i = 0; i < tile_rows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) sum[i][v] = hn::Zero(d);
  }
  for (std::size_t r = 0; r < count; ++r) {
    const float *a = runs[r].x + tile.x_offset, *b = runs[r].dy + tile.dy_offset;
    for (std::int64_t k = 0; k < runs[r].count; ++k, a += x_step, b += dy_step) {
      VF32 right[vectors];
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) right[v] = hn::LoadU(d, b + v * lanes);
#pragma GCC unroll 16
      for (int i = 0; i < tile_rows; ++i) {
        const VF32 left = hn::Set(d, a[i]);
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) sum[i][v] = hn::MulAdd(left, right[v], sum[i][v]);
      }
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < tile_rows; ++i) {
    if (i < tile.skip) continue;
    float* to = tile.sums + i * tile.stride;
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      hn::StoreU(tile.first ? sum[i][v] : hn::Add(hn::LoadU(d, to + v * lanes), sum[i][v]), d, to + v * lanes);
    }
  }
}

class DirectWeightGrad {
 public:
  // Whether tiles of the shape never read beyond a patch or a pixel of dy.
  static bool suits(const Patches& patches) {
    return patches.runs().length >= tile_rows && patches.s.group_o() % static_cast<std::int64_t>(hn::Lanes(F32())) == 0;
  }

  DirectWeightGrad(const Patches& patches, const float* dy)
      : patches_(patches),
        runs_(patches.runs()),
        dy_(dy),
        panels_(patches.s.group_o()),
        tiles_per_run_((runs_.length + tile_rows - 1) / tile_rows),
        rows_(patches.s.n * patches.out_h),
        // By shape alone: it decides the bits.
        parts_(std::clamp<std::int64_t>((std::int64_t{1} << 20) / size(), 1, std::clamp<std::int64_t>(rows_, 1, 16))),
        sums_(parts_ * size()) {
    const std::int64_t tiles = runs_.runs * tiles_per_run_, slices = std::min(tiles, 16 / parts_);
    parallel_for(parts_ * slices, 1, [&](std::int64_t task, std::int64_t end) {
      for (; task < end; ++task) {
        const std::int64_t part = task / slices, slice = task % slices;
        sum_part(part, tiles * slice / slices, tiles * (slice + 1) / slices);
      }
    });
  }

  // dw (O, elements of a patch) (+)= the sums of all parts.
  void add_to(float* dw, bool accumulate) const {
    const std::int64_t filters = patches_.s.group_o(), elements = runs_.runs * runs_.length;
    constexpr std::int64_t together = 16;
    parallel_for(filters, together, [&](std::int64_t o, std::int64_t end) {
      for (std::int64_t e = 0; e < elements; ++e) {
        float total[together] = {};
        for (std::int64_t part = 0; part < parts_; ++part) {
          const float* from = sums_.data() + part * size() + e * filters + o;
          for (std::int64_t i = 0; i < end - o; ++i) total[i] += from[i];
        }
        for (std::int64_t i = 0; i < end - o; ++i) {
          float* to = dw + (o + i) * elements + e;
          *to = accumulate ? *to + total[i] : total[i];
        }
      }
    });
  }

 private:
  std::int64_t size() const { return runs_.runs * runs_.length * patches_.s.group_o(); }

  // Tiles [tile, tile_end) over a part of the rows of dy, some rows at a time: a panel of them stays in the first-level
  // cache while tiles pass.
  void sum_part(std::int64_t part, std::int64_t tile, std::int64_t tile_end) const {
    const std::int64_t together = std::max<std::int64_t>(1, 128 / patches_.out_w);
    const std::int64_t first_row = rows_ * part / parts_, last_row = rows_ * (part + 1) / parts_;
    std::vector<PixelRun> pixels;
    std::int64_t row = first_row;
    do {
      const std::int64_t row_end = std::min(last_row, row + together);
      for (std::int64_t t = tile; t < tile_end;) {
        const std::int64_t run = t / tiles_per_run_, end = std::min(tile_end, (run + 1) * tiles_per_run_);
        find_pixels(patches_.run(run), row, row_end, pixels);
        for (std::int64_t p = 0; p < panels_.count(); ++p) {
          for (std::int64_t i = t; i < end; ++i) sum_tile(pixels, run, i % tiles_per_run_, p, part, row == first_row);
        }
        t = end;
      }
      row = row_end;
    } while (row < last_row);
  }

  // The pixels of rows [row, row_end) of dy whose patches have the run inside the image.
  void find_pixels(const Patches::Run& run, std::int64_t row, std::int64_t row_end,
                   std::vector<PixelRun>& pixels) const {
    const Conv2dShape& s = patches_.s;
    pixels.clear();
    const std::int64_t left = run.kx - s.padding;
    const std::int64_t begin = left < 0 ? (-left + s.stride - 1) / s.stride : 0;
    const std::int64_t end =
        patches_.whole_rows() ? patches_.out_w : std::min(patches_.out_w, (s.w - left + s.stride - 1) / s.stride);
    for (; row < row_end && begin < end; ++row) {
      const std::int64_t n = row / patches_.out_h, top = row % patches_.out_h * s.stride - s.padding;
      if (top + run.ky < 0 || top + run.ky >= s.h) continue;
      const float* corner = patches_.x + ((n * s.h + top) * s.w + begin * s.stride - s.padding) * s.c;
      pixels.push_back({corner + run.offset, dy_ + (row * patches_.out_w + begin) * s.o, end - begin});
    }
  }

  void sum_tile(const std::vector<PixelRun>& pixels, std::int64_t run, std::int64_t tile, std::int64_t panel,
                std::int64_t part, bool first) const {
    const Conv2dShape& s = patches_.s;
    const std::int64_t element = std::min(tile * tile_rows, runs_.length - tile_rows);
    const std::int64_t column = panels_.begin(panel), filters = s.group_o();
    const WeightTile target{element,
                            s.stride * s.c,
                            column,
                            s.o,
                            tile * tile_rows - element,
                            first,
                            sums_.data() + part * size() + (run * runs_.length + element) * filters + column,
                            filters};
    with_vectors(panels_.vectors(panel),
                 [&]<int width>() HWY_ATTR { sum_weight_tile<width>(pixels.data(), pixels.size(), target); });
  }

  Patches patches_;
  RunBlocks runs_;
  const float* dy_;
  Panels panels_;
  std::int64_t tiles_per_run_, rows_, parts_;
  Scratch<float> sums_;
};

void conv2d_weight_grad(const Conv2dShape& s, const float* x, const float* dy, float* dw, bool accumulate) {
  const PatchSource source(s, x);
  for (std::int64_t g = 0; g < s.groups; ++g) {
    const std::int64_t o = g * s.group_o();
    const Patches patches = source.group(g);
    if (DirectWeightGrad::suits(patches)) {
      DirectWeightGrad(patches, dy + o).add_to(dw + o * s.filter_size(), accumulate);
    } else {
      multiply(s.group_o(), s.filter_size(), TransposedA(dy + o, s.o, s.pixels()), PatchesB{patches},
               RowMajorC{dw + o * s.filter_size(), s.filter_size()}, dw, {.accumulate = accumulate});
    }
  }
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::kernels {

HWY_EXPORT(conv2d);
HWY_EXPORT(conv2d_input_grad);
HWY_EXPORT(conv2d_weight_grad);
HWY_EXPORT(depthwise);
HWY_EXPORT(depthwise_input_grad);
HWY_EXPORT(depthwise_weight_grad);

// With a 1x1 filter the pixels are the rows of a matrix: x (P, C), w (O, C), y (P, O).

void conv2d_f32(const Conv2dShape& s, const float* x, const float* w, const float* bias, float* y) {
  if (s.pointwise()) return gemm_f32(s.pixels(), s.o, s.c, {x, s.c}, {w, s.c, true}, y, s.o, {.bias = bias});
  profile::count(s.flops());
  if (s.depthwise()) return HWY_DYNAMIC_DISPATCH(depthwise)(s, x, w, bias, y);
  HWY_DYNAMIC_DISPATCH(conv2d)(s, x, w, bias, y);
}

void conv2d_input_grad_f32(const Conv2dShape& s, const float* dy, const float* w, float* dx, bool accumulate) {
  if (s.pointwise()) return gemm_f32(s.pixels(), s.c, s.o, {dy, s.o}, {w, s.c}, dx, s.c, {.accumulate = accumulate});
  profile::count(s.flops());
  if (s.depthwise()) return HWY_DYNAMIC_DISPATCH(depthwise_input_grad)(s, dy, w, dx, accumulate);
  HWY_DYNAMIC_DISPATCH(conv2d_input_grad)(s, dy, w, dx, accumulate);
}

void conv2d_weight_grad_f32(const Conv2dShape& s, const float* x, const float* dy, float* dw, bool accumulate) {
  if (s.pointwise()) {
    return gemm_f32(s.o, s.c, s.pixels(), {dy, s.o, true}, {x, s.c}, dw, s.c, {.accumulate = accumulate});
  }
  profile::count(s.flops());
  if (s.depthwise()) return HWY_DYNAMIC_DISPATCH(depthwise_weight_grad)(s, x, dy, dw, accumulate);
  HWY_DYNAMIC_DISPATCH(conv2d_weight_grad)(s, x, dy, dw, accumulate);
}

}  // namespace fovea::kernels
#endif
