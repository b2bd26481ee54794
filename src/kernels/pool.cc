#include "fovea/kernels/pool.h"

#include <algorithm>

#include "fovea/core/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/pool.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {

using I32 = hn::RebindToSigned<F32>;
using VI32 = hn::Vec<I32>;
using U8 = hn::Rebind<std::uint8_t, F32>;  // as many bytes as a vector has floats

// Window indices go through a buffer, so that no byte beyond the channels is touched. (Its size bounds the copy for the
// compiler's eyes only: there are never more lanes.)
template <class Lanes>
HWY_INLINE void store_indices(const Lanes& lanes, VI32 index, std::uint8_t* p) {
  HWY_ALIGN std::uint8_t buffer[hn::MaxLanes(F32())];
  hn::StoreU(hn::DemoteTo(U8(), index), U8(), buffer);
  std::memcpy(p, buffer, std::min(lanes.count(), sizeof buffer));
}
template <class Lanes>
HWY_INLINE VI32 load_indices(const Lanes& lanes, const std::uint8_t* p) {
  HWY_ALIGN std::uint8_t buffer[hn::MaxLanes(F32())] = {};
  std::memcpy(buffer, p, std::min(lanes.count(), sizeof buffer));
  return hn::PromoteTo(I32(), hn::LoadU(U8(), buffer));
}

struct Window {
  std::int64_t top, bottom, left, right;  // inputs [top, bottom) x [left, right)

  Window(const PoolShape& s, std::int64_t row, std::int64_t column)
      : top(s.rows.begin[static_cast<std::size_t>(row)]),
        bottom(s.rows.end[static_cast<std::size_t>(row)]),
        left(s.columns.begin[static_cast<std::size_t>(column)]),
        right(s.columns.end[static_cast<std::size_t>(column)]) {}
  std::int64_t size() const { return (bottom - top) * (right - left); }
};

// Calls f(window, input image, output element of channel 0) for the output rows [begin, end) of all images.
template <class F>
HWY_INLINE void for_each_window(const PoolShape& s, std::int64_t begin, std::int64_t end, F&& f) {
  const std::int64_t image = s.rows.inputs() * s.columns.inputs() * s.channels;
  for (std::int64_t i = begin; i < end; ++i) {
    const std::int64_t n = i / s.rows.outputs(), row = i % s.rows.outputs();
    for (std::int64_t column = 0; column < s.columns.outputs(); ++column) {
      f(Window(s, row, column), n * image, (i * s.columns.outputs() + column) * s.channels);
    }
  }
}

// Largest element of one window for the channels c ..., and its index.
template <bool with_index, class Lanes>
HWY_INLINE VF32 window_max(const Window& w, const float* x, std::int64_t row, std::int64_t channels, const Lanes& lanes,
                           VI32& best_index) {
  const I32 di;
  VF32 best = lanes.load(x + w.top * row + w.left * channels);
  best_index = hn::Zero(di);
  std::int32_t index = 0;
  for (std::int64_t h = w.top; h < w.bottom; ++h) {
    for (std::int64_t c = w.left; c < w.right; ++c, ++index) {
      const VF32 v = lanes.load(x + h * row + c * channels);
      const auto better = hn::Or(hn::Gt(v, best), hn::IsNaN(v));
      best = hn::IfThenElse(better, v, best);
      if constexpr (with_index) best_index = hn::IfThenElse(hn::RebindMask(di, better), hn::Set(di, index), best_index);
    }
  }
  return best;
}

// Output rows [begin, end) of all images.
void max_pool2d_rows(const PoolShape& s, const float* x, std::int64_t begin, std::int64_t end, float* y,
                     std::uint8_t* argmax) {
  const std::int64_t row = s.columns.inputs() * s.channels;
  for_each_window(s, begin, end, [&](const Window& w, std::int64_t image, std::int64_t out) {
    for_lanes(s.channels, [&](std::int64_t c, auto lanes) {
      VI32 index;
      if (argmax) {
        lanes.store(window_max<true>(w, x + image + c, row, s.channels, lanes, index), y + out + c);
        store_indices(lanes, index, argmax + out + c);
      } else {
        lanes.store(window_max<false>(w, x + image + c, row, s.channels, lanes, index), y + out + c);
      }
    });
  });
}

void avg_pool2d_rows(const PoolShape& s, const float* x, std::int64_t begin, std::int64_t end, float* y) {
  const F32 d;
  const std::int64_t row = s.columns.inputs() * s.channels;
  for_each_window(s, begin, end, [&](const Window& w, std::int64_t image, std::int64_t out) {
    const VF32 scale = hn::Set(d, 1.0f / static_cast<float>(w.size()));
    for_lanes(s.channels, [&](std::int64_t c, auto lanes) {
      VF32 total = hn::Zero(d);
      for (std::int64_t h = w.top; h < w.bottom; ++h) {
        VF32 row_total = hn::Zero(d);  // a sum per row keeps rounding small in large windows
        for (std::int64_t column = w.left; column < w.right; ++column) {
          row_total = hn::Add(row_total, lanes.load(x + image + h * row + column * s.channels + c));
        }
        total = hn::Add(total, row_total);
      }
      lanes.store(hn::Mul(total, scale), y + out + c);
    });
  });
}

// dx of the input rows [begin, end) of all images: every input gathers from the windows that hold it, so that each
// element is written once, by one thread. `term(window, output element, input row, input column, lanes)` is what one
// window gives.
template <class F>
HWY_INLINE void gather_rows(const PoolShape& s, std::int64_t begin, std::int64_t end, const GradTarget<float>& dx,
                            F&& term) {
  for (std::int64_t i = begin; i < end; ++i) {
    const std::int64_t n = i / s.rows.inputs(), h = i % s.rows.inputs();
    const std::int64_t row_first = s.rows.first[static_cast<std::size_t>(h)];
    const std::int64_t row_last = s.rows.last[static_cast<std::size_t>(h)];
    for (std::int64_t w = 0; w < s.columns.inputs(); ++w) {
      const std::int64_t column_first = s.columns.first[static_cast<std::size_t>(w)];
      const std::int64_t column_last = s.columns.last[static_cast<std::size_t>(w)];
      float* out = dx.data + (i * s.columns.inputs() + w) * s.channels;
      for_lanes(s.channels, [&](std::int64_t c, auto lanes) {
        VF32 total = hn::Zero(F32());
        for (std::int64_t row = row_first; row < row_last; ++row) {
          for (std::int64_t column = column_first; column < column_last; ++column) {
            const std::int64_t at = ((n * s.rows.outputs() + row) * s.columns.outputs() + column) * s.channels + c;
            total = hn::Add(total, term(Window(s, row, column), at, h, w, lanes));
          }
        }
        store_or_add(lanes, total, out + c, dx.accumulate);
      });
    }
  }
}

void max_pool2d_grad_rows(const PoolShape& s, const std::uint8_t* argmax, const float* dy, std::int64_t begin,
                          std::int64_t end, const GradTarget<float>& dx) {
  const auto term = [&](const Window& window, std::int64_t at, std::int64_t h, std::int64_t w, auto lanes) {
    const std::int64_t index = (h - window.top) * (window.right - window.left) + w - window.left;
    const auto here = hn::Eq(load_indices(lanes, argmax + at), hn::Set(I32(), static_cast<std::int32_t>(index)));
    return hn::IfThenElseZero(hn::RebindMask(F32(), here), lanes.load(dy + at));
  };
  gather_rows(s, begin, end, dx, term);
}

void avg_pool2d_grad_rows(const PoolShape& s, const float* dy, std::int64_t begin, std::int64_t end,
                          const GradTarget<float>& dx) {
  const auto term = [&](const Window& window, std::int64_t at, std::int64_t, std::int64_t, auto lanes) {
    return hn::Mul(lanes.load(dy + at), hn::Set(F32(), 1.0f / static_cast<float>(window.size())));
  };
  gather_rows(s, begin, end, dx, term);
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::kernels {

HWY_EXPORT(max_pool2d_rows);
HWY_EXPORT(avg_pool2d_rows);
HWY_EXPORT(max_pool2d_grad_rows);
HWY_EXPORT(avg_pool2d_grad_rows);

namespace {

// Rows of the image that one task handles: enough of them to be worth a task.
std::int64_t rows_per_task(const PoolShape& s) {
  return std::max<std::int64_t>(1, 8192 / std::max<std::int64_t>(1, s.columns.inputs() * s.channels));
}

}  // namespace

PoolAxis PoolAxis::sliding(std::int64_t inputs, std::int64_t kernel, std::int64_t stride, std::int64_t padding) {
  PoolAxis axis;
  for (std::int64_t start = -padding; start + kernel <= inputs + padding; start += stride) {
    axis.begin.push_back(std::max<std::int64_t>(start, 0));
    axis.end.push_back(std::min(start + kernel, inputs));
  }
  axis.invert(inputs);
  return axis;
}

PoolAxis PoolAxis::adaptive(std::int64_t inputs, std::int64_t outputs) {
  PoolAxis axis;
  for (std::int64_t i = 0; i < outputs; ++i) {
    axis.begin.push_back(i * inputs / outputs);
    axis.end.push_back(((i + 1) * inputs + outputs - 1) / outputs);
  }
  axis.invert(inputs);
  return axis;
}

void PoolAxis::invert(std::int64_t inputs) {
  for (std::int64_t i = 0; i < inputs; ++i) {
    first.push_back(std::upper_bound(end.begin(), end.end(), i) - end.begin());
    last.push_back(std::upper_bound(begin.begin(), begin.end(), i) - begin.begin());
  }
}

void max_pool2d_f32(const PoolShape& shape, const float* x, float* y, std::uint8_t* argmax) {
  parallel_for(shape.images * shape.rows.outputs(), rows_per_task(shape), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(max_pool2d_rows)(shape, x, begin, end, y, argmax);
  });
}

void max_pool2d_grad_f32(const PoolShape& shape, const std::uint8_t* argmax, const float* dy,
                         const GradTarget<float>& dx) {
  parallel_for(shape.images * shape.rows.inputs(), rows_per_task(shape), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(max_pool2d_grad_rows)(shape, argmax, dy, begin, end, dx);
  });
}

void avg_pool2d_f32(const PoolShape& shape, const float* x, float* y) {
  parallel_for(shape.images * shape.rows.outputs(), rows_per_task(shape), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(avg_pool2d_rows)(shape, x, begin, end, y);
  });
}

void avg_pool2d_grad_f32(const PoolShape& shape, const float* dy, const GradTarget<float>& dx) {
  parallel_for(shape.images * shape.rows.inputs(), rows_per_task(shape), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(avg_pool2d_grad_rows)(shape, dy, begin, end, dx);
  });
}

}  // namespace fovea::kernels
#endif
