// Speed of what memory limits: optimisers, norms, embeddings and depthwise convolutions, as bytes per second and as a
// share of the bandwidth of a copy past the caches with as many threads. Counted is what must be read and written at
// least once.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <vector>

#include "fovea/core/parallel.h"
#include "fovea/kernels/adamw.h"
#include "fovea/kernels/batch_norm.h"
#include "fovea/kernels/conv.h"
#include "fovea/kernels/lamb.h"
#include "fovea/kernels/layer_norm.h"
#include "fovea/kernels/reduce.h"
#include "fovea/kernels/rms_norm.h"
#include "fovea/kernels/roofline.h"
#include "fovea/kernels/rows.h"
#include "fovea/kernels/sgd.h"
#include "fovea/tensor/factory.h"

namespace {

using namespace fovea;

void report(benchmark::State& state, double floats) {
  static const double bandwidth = kernels::measure_roofline().bytes;
  const double total = sizeof(float) * floats * static_cast<double>(state.iterations());
  state.counters["B/s"] = benchmark::Counter(total, benchmark::Counter::kIsRate);
  state.counters["of_copy"] = benchmark::Counter(total / bandwidth, benchmark::Counter::kIsRate);
}

constexpr std::int64_t parameters = 150'000'000 / 64 * 64;

// In short pieces, through the caches: what is written is read first. Or in one piece per thread, which the C library
// writes past the caches.
void copy(benchmark::State& state) {
  const Tensor x = zeros({parameters});
  Tensor y = zeros({parameters});
  for (auto _ : state) {
    const std::int64_t piece = state.range(0) != 0 ? parameters / num_threads() : 1 << 16;
    parallel_for(parameters, piece, [from = x.data<float>(), to = y.mutable_data<float>()](auto begin, auto end) {
      std::copy(from + begin, from + end, to + begin);
    });
  }
  report(state, 2.0 * parameters);
}
BENCHMARK(copy)->ArgName("past_caches")->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond)->UseRealTime();

// Weights, gradients and moments.
struct Store {
  Tensor w = full({parameters}, 0.5), g = full({parameters}, 1e-3), m = zeros({parameters}), v = zeros({parameters});
  float *pw = w.mutable_data<float>(), *pg = g.mutable_data<float>(), *pm = m.mutable_data<float>(),
        *pv = v.mutable_data<float>();
};

void adamw(benchmark::State& state) {
  const Store s;
  const kernels::AdamWStep step{1e-3, 0.9, 0.98, 1e-6, 0.2, 0.1, 0.02, 0.5};
  for (auto _ : state) kernels::adamw_f32(step, parameters, s.pg, s.pw, s.pm, s.pv);
  report(state, 7.0 * parameters);
}
BENCHMARK(adamw)->Unit(benchmark::kMillisecond)->UseRealTime();

// Tensors of `length` weights.
void lamb(benchmark::State& state) {
  const Store s;
  const kernels::LambStep step{0.9, 0.98, 1e-6, 0.2, 0.1, 0.02, 0.5};
  const std::int64_t length = state.range(0);
  for (auto _ : state) {
    for (std::int64_t i = 0; i + length <= parameters; i += length) {
      kernels::lamb_moments_f32(step, length, s.pg + i, s.pw + i, s.pm + i, s.pv + i);
      kernels::lamb_weights_f32(step, 1e-6, length, s.pm + i, s.pv + i, s.pw + i);
    }
  }
  report(state, 7.0 * static_cast<double>(parameters / length * length));
}
BENCHMARK(lamb)->ArgName("tensor")->Arg(768 * 768)->Arg(768 * 3072)->Unit(benchmark::kMillisecond)->UseRealTime();

void sgd(benchmark::State& state) {
  const Store s;
  for (auto _ : state) kernels::sgd_f32({1e-3, 0.9, 0.1, false, 0.5}, parameters, s.pg, s.pw, s.pm);
  report(state, 5.0 * parameters);
}
BENCHMARK(sgd)->Unit(benchmark::kMillisecond)->UseRealTime();

void gradient_norm(benchmark::State& state) {
  const Tensor g = full({parameters}, 1e-3);
  for (auto _ : state) benchmark::DoNotOptimize(kernels::squared_norm_f32(g.data<float>(), parameters));
  report(state, parameters);
}
BENCHMARK(gradient_norm)->Unit(benchmark::kMillisecond)->UseRealTime();

// What norms and losses work on.
struct Rows {
  explicit Rows(const benchmark::State& state) : rows(state.range(0)), width(state.range(1)) {}
  std::int64_t rows, width;
  Tensor x = random_normal({rows, width}, RngKey{1}), dy = random_normal({rows, width}, RngKey{2}),
         y = zeros({rows, width}), dx = zeros({rows, width}), weight = random_normal({width}, RngKey{3}),
         bias = random_normal({width}, RngKey{4}), dweight = zeros({width}), dbias = zeros({width}),
         mean = zeros({rows}), rstd = ones({rows});
  double size() const { return static_cast<double>(rows * width); }
};
void token_shapes(benchmark::internal::Benchmark* b) {
  b->Args({32 * 50, 768})->Args({32 * 800, 768})->Unit(benchmark::kMicrosecond)->UseRealTime();
}

void layer_norm(benchmark::State& state) {
  Rows r(state);
  for (auto _ : state) {
    kernels::layer_norm_f32({r.rows, r.width, 1e-5, r.x.data<float>(), r.weight.data<float>(), r.bias.data<float>(),
                             r.y.mutable_data<float>(), r.mean.mutable_data<float>(), r.rstd.mutable_data<float>()});
  }
  report(state, 2 * r.size());
}
BENCHMARK(layer_norm)->Apply(token_shapes);

void layer_norm_grad(benchmark::State& state) {
  Rows r(state);
  const bool accumulate = state.range(2) != 0;
  for (auto _ : state) {
    kernels::layer_norm_grad_f32({r.rows,
                                  r.width,
                                  r.x.data<float>(),
                                  r.weight.data<float>(),
                                  r.mean.data<float>(),
                                  r.rstd.data<float>(),
                                  r.dy.data<float>(),
                                  {r.dx.mutable_data<float>(), accumulate},
                                  {r.dweight.mutable_data<float>(), false},
                                  {r.dbias.mutable_data<float>(), false}});
  }
  report(state, (accumulate ? 4 : 3) * r.size());
}
BENCHMARK(layer_norm_grad)
    ->ArgNames({"", "", "add"})
    ->Args({32 * 50, 768, 0})
    ->Args({32 * 800, 768, 0})
    ->Args({32 * 800, 768, 1})
    ->Unit(benchmark::kMicrosecond)
    ->UseRealTime();

void rms_norm(benchmark::State& state) {
  Rows r(state);
  for (auto _ : state) {
    kernels::rms_norm_f32({r.rows, r.width, 1e-6, r.x.data<float>(), r.weight.data<float>(), r.y.mutable_data<float>(),
                           r.rstd.mutable_data<float>()});
  }
  report(state, 2 * r.size());
}
BENCHMARK(rms_norm)->Apply(token_shapes);

void rms_norm_grad(benchmark::State& state) {
  Rows r(state);
  for (auto _ : state) {
    kernels::rms_norm_grad_f32({r.rows,
                                r.width,
                                r.x.data<float>(),
                                r.weight.data<float>(),
                                r.rstd.data<float>(),
                                r.dy.data<float>(),
                                {r.dx.mutable_data<float>(), false},
                                {r.dweight.mutable_data<float>(), false}});
  }
  report(state, 3 * r.size());
}
BENCHMARK(rms_norm_grad)->Apply(token_shapes);

void image_shapes(benchmark::internal::Benchmark* b) {
  b->Args({16 * 112 * 112, 64})->Args({16 * 56 * 56, 256})->Args({256 * 16 * 16, 32});
  b->Unit(benchmark::kMicrosecond)->UseRealTime();
}
struct Statistics {
  explicit Statistics(std::int64_t channels)
      : all(full({4, channels}, 0.5, DType::f64)),
        mean(all.mutable_data<double>()),
        rstd(mean + channels),
        sum_g(rstd + channels),
        sum_gn(sum_g + channels) {}
  Tensor all;
  double *mean, *rstd, *sum_g, *sum_gn;
};

// With relu and residual: x is read twice, the residual once, y is written.
void batch_norm(benchmark::State& state) {
  Rows r(state);
  const Statistics s(r.width);
  for (auto _ : state) {
    kernels::channel_moments_f32(r.x.data<float>(), r.rows, r.width, s.mean, s.rstd);
    kernels::batch_norm_f32({r.rows, r.width, r.x.data<float>(), r.weight.data<float>(), r.bias.data<float>(),
                             r.dy.data<float>(), s.mean, s.rstd, Activation::relu, r.y.mutable_data<float>()});
  }
  report(state, 4 * r.size());
}
BENCHMARK(batch_norm)->Apply(image_shapes);

// x, y and dy are read twice, dx is written.
void batch_norm_grad(benchmark::State& state) {
  Rows r(state);
  const Statistics s(r.width);
  for (auto _ : state) {
    const kernels::BatchNormInput<float> in{r.rows,
                                            r.width,
                                            r.x.data<float>(),
                                            r.x.data<float>(),
                                            r.weight.data<float>(),
                                            r.bias.data<float>(),
                                            r.dy.data<float>(),
                                            s.mean,
                                            s.rstd,
                                            Activation::relu};
    kernels::batch_norm_sums_f32(in, s.sum_g, s.sum_gn);
    kernels::batch_norm_grad_f32({in, s.sum_g, s.sum_gn, {r.dx.mutable_data<float>(), false}, {}});
  }
  report(state, 7 * r.size());
}
BENCHMARK(batch_norm_grad)->Apply(image_shapes);

// The gradient of a table of 49408 x 512 from 32 captions of 77 tokens: rows that are not named need not be touched
// when the gradient is added.
void embedding_grad(benchmark::State& state) {
  constexpr std::int64_t vocabulary = 49408, width = 512, tokens = 32 * 77;
  const bool accumulate = state.range(0) != 0;
  const Tensor dy = random_normal({tokens, width}, RngKey{1});
  Tensor table = zeros({vocabulary, width});
  std::vector<std::int64_t> ids(tokens);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::int64_t>(i * i * 31 % vocabulary);
  for (auto _ : state) {
    kernels::scatter_add_rows_f32(dy.data<float>(), ids.data(), tokens, width, vocabulary,
                                  {table.mutable_data<float>(), accumulate});
  }
  report(state, (accumulate ? 3.0 * tokens : 1.0 * tokens + vocabulary) * width);
}
BENCHMARK(embedding_grad)->ArgName("add")->Arg(0)->Arg(1)->Unit(benchmark::kMicrosecond)->UseRealTime();

// Extent, channels, filter size, stride; batch 16. Images and results are counted once.
struct Depthwise {
  explicit Depthwise(const benchmark::State& state)
      : s{16,
          state.range(0),
          state.range(0),
          state.range(1),
          state.range(1),
          state.range(2),
          state.range(2),
          state.range(3),
          state.range(2) / 2,
          state.range(1)} {}
  kernels::Conv2dShape s;
  Tensor x = random_normal({s.n, s.h, s.w, s.c}, RngKey{1}), w = random_normal({s.c, s.kh, s.kw}, RngKey{2}),
         y = random_normal({s.n, s.out_h(), s.out_w(), s.c}, RngKey{3});
  double size() const { return static_cast<double>(x.numel() + y.numel()); }
};
void depthwise_shapes(benchmark::internal::Benchmark* b) {
  for (const auto& shape : {std::array{112, 32, 3, 1}, {112, 96, 3, 2}, {28, 240, 5, 1}, {14, 480, 3, 1}}) {
    b->Args({shape.begin(), shape.end()});
  }
  b->Unit(benchmark::kMicrosecond)->UseRealTime();
}

void depthwise(benchmark::State& state) {
  Depthwise d(state);
  for (auto _ : state) {
    kernels::conv2d_f32(d.s, d.x.data<float>(), d.w.data<float>(), nullptr, d.y.mutable_data<float>());
  }
  report(state, d.size());
}
BENCHMARK(depthwise)->Apply(depthwise_shapes);

void depthwise_input_grad(benchmark::State& state) {
  Depthwise d(state);
  for (auto _ : state) {
    kernels::conv2d_input_grad_f32(d.s, d.y.data<float>(), d.w.data<float>(), d.x.mutable_data<float>(), false);
  }
  report(state, d.size());
}
BENCHMARK(depthwise_input_grad)->Apply(depthwise_shapes);

void depthwise_weight_grad(benchmark::State& state) {
  Depthwise d(state);
  for (auto _ : state) {
    kernels::conv2d_weight_grad_f32(d.s, d.x.data<float>(), d.y.data<float>(), d.w.mutable_data<float>(), false);
  }
  report(state, d.size());
}
BENCHMARK(depthwise_weight_grad)->Apply(depthwise_shapes);

}  // namespace
