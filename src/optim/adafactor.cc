#include "fovea/optim/adafactor.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "fovea/core/parallel.h"
#include "fovea/core/profile.h"

namespace fovea::optim {
namespace {

constexpr std::int64_t chunk_elements = 1 << 15;  // that one thread takes at a time; fixed, so that sums do not change

// A tensor as (outer, rows, middle, columns, inner): rows and columns are its two largest axes.
struct Factored {
  std::int64_t outer = 1, rows = 1, middle = 1, columns = 1, inner = 1;

  std::int64_t row_means() const { return outer * rows * middle * inner; }
  std::int64_t column_means() const { return outer * middle * columns * inner; }
};

// The two largest axes, in order; none where the smaller one is below `from`.
bool largest_axes(const Shape& shape, std::int64_t from, int (&axes)[2]) {
  if (shape.rank() < 2) return false;
  std::vector<int> order(static_cast<std::size_t>(shape.rank()));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return shape[a] < shape[b]; });
  const int last = order.back(), before = order[order.size() - 2];
  axes[0] = std::min(last, before);
  axes[1] = std::max(last, before);
  return shape[before] >= from;
}

Factored factored(const Shape& shape, const int (&axes)[2]) {
  Factored f;
  f.rows = shape[axes[0]];
  f.columns = shape[axes[1]];
  for (int i = 0; i < shape.rank(); ++i) {
    if (i < axes[0]) f.outer *= shape[i];
    if (i > axes[0] && i < axes[1]) f.middle *= shape[i];
    if (i > axes[1]) f.inner *= shape[i];
  }
  return f;
}

// The numbers of one step.
template <class T>
struct Step {
  T beta2, eps, new_share, lr, decay, gradient_scale;
  float momentum;  // in bf16

  T squared(T g) const { return g * gradient_scale * (g * gradient_scale) + eps; }
  T moved(T v, T mean) const { return beta2 * v + (1 - beta2) * mean; }
  // m and w from g / sqrt(v).
  void update(T direction, bfloat16& m, T& w) const {
    const T moment =
        new_share * direction + static_cast<T>(static_cast<float>(bfloat16(momentum * static_cast<float>(m))));
    m = bfloat16(static_cast<float>(moment));
    w -= lr * moment + decay * w;
  }
};

template <class T>
void step_whole(const Step<T>& step, std::int64_t n, const T* g, T* v, bfloat16* m, T* w) {
  parallel_for(n, chunk_elements, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      v[i] = step.moved(v[i], step.squared(g[i]));
      step.update(g[i] * step.gradient_scale / std::sqrt(v[i]), m[i], w[i]);
    }
  });
}

// Sums of g^2 + eps over the columns of every row, and over the rows of every column, of one (middle, inner) slice.
template <class T>
void add_squares(const Step<T>& step, const Factored& f, std::int64_t begin, std::int64_t end, const T* g,
                 double* row_sums, double* column_sums) {
  const std::int64_t slices = f.middle * f.inner;
  for (std::int64_t r = begin; r < end; ++r) {
    const T* row = g + r * f.middle * f.columns * f.inner;
    for (std::int64_t k = 0; k < f.middle; ++k) {
      for (std::int64_t c = 0; c < f.columns; ++c) {
        for (std::int64_t s = 0; s < f.inner; ++s) {
          const auto square = static_cast<double>(step.squared(row[(k * f.columns + c) * f.inner + s]));
          row_sums[r * slices + k * f.inner + s] += square;
          column_sums[(k * f.columns + c) * f.inner + s] += square;
        }
      }
    }
  }
}

// One of the `outer` blocks: row means (rows, middle, inner), column means (middle, columns, inner).
template <class T>
void step_block(const Step<T>& step, const Factored& f, const T* g, T* row_v, T* column_v, bfloat16* m, T* w) {
  const std::int64_t slices = f.middle * f.inner, line = f.columns * slices;
  const std::int64_t chunk = std::max<std::int64_t>(1, chunk_elements / line), chunks = chunk_count(f.rows, chunk);
  std::vector<double> row_sums(static_cast<std::size_t>(f.rows * slices));
  std::vector<double> column_sums(static_cast<std::size_t>(chunks * line));
  parallel_for(f.rows, chunk, [&](std::int64_t begin, std::int64_t end) {
    add_squares(step, f, begin, end, g, row_sums.data(), column_sums.data() + begin / chunk * line);
  });
  for (std::int64_t i = 0; i < f.rows * slices; ++i)
    row_v[i] =
        step.moved(row_v[i], static_cast<T>(row_sums[static_cast<std::size_t>(i)] / static_cast<double>(f.columns)));
  for (std::int64_t i = 0; i < line; ++i) {
    double sum = 0;
    for (std::int64_t k = 0; k < chunks; ++k) sum += column_sums[static_cast<std::size_t>(k * line + i)];
    column_v[i] = step.moved(column_v[i], static_cast<T>(sum / static_cast<double>(f.rows)));
  }
  // 1 / sqrt of the means of rows over the mean of all, and of the means of columns.
  std::vector<T> row_factor(static_cast<std::size_t>(f.rows * slices)), column_factor(static_cast<std::size_t>(line));
  for (std::int64_t slice = 0; slice < slices; ++slice) {
    double mean = 0;
    for (std::int64_t r = 0; r < f.rows; ++r) mean += static_cast<double>(row_v[r * slices + slice]);
    mean /= static_cast<double>(f.rows);
    for (std::int64_t r = 0; r < f.rows; ++r) {
      const std::int64_t i = r * slices + slice;
      row_factor[static_cast<std::size_t>(i)] = static_cast<T>(1 / std::sqrt(static_cast<double>(row_v[i]) / mean));
    }
  }
  for (std::int64_t i = 0; i < line; ++i)
    column_factor[static_cast<std::size_t>(i)] = static_cast<T>(1 / std::sqrt(static_cast<double>(column_v[i])));
  parallel_for(f.rows, chunk, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      for (std::int64_t i = 0; i < line; ++i) {
        const std::int64_t slice = i / (f.columns * f.inner) * f.inner + i % f.inner, at = r * line + i;
        const T factor = row_factor[static_cast<std::size_t>(r * slices + slice)];
        step.update(g[at] * step.gradient_scale * factor * column_factor[static_cast<std::size_t>(i)], m[at], w[at]);
      }
    }
  });
}

void check_settings(const Adafactor& settings, double lr) {
  const auto is_rate = [](double beta) { return beta >= 0 && beta < 1; };
  FOVEA_CHECK(is_rate(settings.momentum) && is_rate(settings.beta2_cap), "[adafactor] momentum and beta2_cap are ",
              settings.momentum, " and ", settings.beta2_cap, ", expected numbers of [0, 1)");
  FOVEA_CHECK(settings.eps > 0, "[adafactor] eps is ", settings.eps, ", expected a positive number");
  FOVEA_CHECK(settings.weight_decay >= 0, "[adafactor] weight_decay is ", settings.weight_decay,
              ", expected 0 or more");
  FOVEA_CHECK(lr >= 0 && std::isfinite(lr), "[adafactor] learning rate is ", lr, ", expected 0 or more");
}

}  // namespace

void Adafactor::prepare(ParamStore& store) const {
  store.role("exp_avg", DType::bf16);
  std::vector<std::int64_t> numbers;
  for (const ParamStore::Segment& tensor : store.segments()) {
    int axes[2];
    if (!largest_axes(tensor.shape, factor_from, axes)) {
      numbers.push_back(tensor.length);
      continue;
    }
    const Factored f = factored(tensor.shape, axes);
    numbers.push_back(f.row_means() + f.column_means());
  }
  store.reduced_role("factored", numbers);
}

void Adafactor::step(ParamStore& store, double lr, double gradient_scale) {
  check_settings(*this, lr);
  const profile::Span span("adafactor");
  // The first pass reads the gradients, the second gradients, weights and moments, and writes the latter two.
  profile::count(0, 5 * static_cast<double>(store.weights().bytes()));
  store.complete_gradients();
  prepare(store);
  ++steps;
  const double beta2 = std::min(beta2_cap, 1 - std::pow(static_cast<double>(steps), -decay_exponent));
  const float bf16_momentum = static_cast<float>(bfloat16(static_cast<float>(momentum)));
  Tensor &first = store.role("exp_avg"), &second = store.role("factored");
  dispatch_floating(store.weights().dtype(), "adafactor", [&]<class T>() {
    T* v = second.mutable_data<T>();
    auto* moments = first.mutable_data<bfloat16>();
    for (const ParamStore::Segment& tensor : store.segments()) {
      const double rate = lr * tensor.lr_scale;
      const Step<T> numbers{static_cast<T>(beta2),
                            static_cast<T>(eps),
                            static_cast<T>(1 - momentum),
                            static_cast<T>(rate),
                            static_cast<T>(tensor.decay ? rate * weight_decay : 0),
                            static_cast<T>(gradient_scale),
                            bf16_momentum};
      const T* g = store.gradients().data<T>() + tensor.offset;
      T* w = store.weights().mutable_data<T>() + tensor.offset;
      bfloat16* m = moments + tensor.offset;
      int axes[2];
      if (!largest_axes(tensor.shape, factor_from, axes)) {
        step_whole(numbers, tensor.length, g, v, m, w);
        v += tensor.length;
        continue;
      }
      const Factored f = factored(tensor.shape, axes);
      const std::int64_t size = tensor.length / f.outer, rows = f.row_means() / f.outer;
      const std::int64_t columns = f.column_means() / f.outer;
      for (std::int64_t b = 0; b < f.outer; ++b)
        step_block(numbers, f, g + b * size, v + b * rows, v + f.row_means() + b * columns, m + b * size, w + b * size);
      v += f.row_means() + f.column_means();
    }
  });
  store.weights_changed();
}

}  // namespace fovea::optim
