// Speed of the convolution kernels, as operations per second and as a share of the FMA peak of the threads used.
#include <benchmark/benchmark.h>

#include "fovea/core/parallel.h"
#include "fovea/kernels/conv.h"
#include "fovea/kernels/roofline.h"
#include "fovea/tensor/factory.h"

namespace {

using namespace fovea;

double peak() {
  static const double value = kernels::fma_peak() * num_threads();
  return value;
}

void report(benchmark::State& state, double operations) {
  const double total = operations * static_cast<double>(state.iterations());
  state.counters["FLOP/s"] = benchmark::Counter(total, benchmark::Counter::kIsRate);
  state.counters["of_peak"] = benchmark::Counter(total / peak(), benchmark::Counter::kIsRate);
}

// extent, channels, filters, filter size, stride; batch 64.
kernels::Conv2dShape conv_shape(const benchmark::State& state) {
  return {64,
          state.range(0),
          state.range(0),
          state.range(1),
          state.range(2),
          state.range(3),
          state.range(3),
          state.range(4),
          state.range(3) / 2,
          1};
}
void conv(benchmark::State& state) {
  const auto s = conv_shape(state);
  const Tensor x = random_normal({s.n, s.h, s.w, s.c}, RngKey{1}), w = random_normal({s.o, s.kh, s.kw, s.c}, RngKey{2});
  Tensor y({s.pixels(), s.o});
  for (auto _ : state) kernels::conv2d_f32(s, x.data<float>(), w.data<float>(), nullptr, y.mutable_data<float>());
  report(state, 2.0 * static_cast<double>(s.pixels() * s.o * s.filter_size()));
}
void conv_input_grad(benchmark::State& state) {
  const auto s = conv_shape(state);
  const Tensor dy = random_normal({s.pixels(), s.o}, RngKey{1}), w = random_normal({s.o, s.kh, s.kw, s.c}, RngKey{2});
  Tensor dx({s.n, s.h, s.w, s.c});
  for (auto _ : state) {
    kernels::conv2d_input_grad_f32(s, dy.data<float>(), w.data<float>(), dx.mutable_data<float>(), false);
  }
  report(state, 2.0 * static_cast<double>(s.pixels() * s.o * s.filter_size()));
}
void conv_weight_grad(benchmark::State& state) {
  const auto s = conv_shape(state);
  const Tensor x = random_normal({s.n, s.h, s.w, s.c}, RngKey{1}), dy = random_normal({s.pixels(), s.o}, RngKey{2});
  Tensor dw({s.o, s.kh, s.kw, s.c});
  for (auto _ : state) {
    kernels::conv2d_weight_grad_f32(s, x.data<float>(), dy.data<float>(), dw.mutable_data<float>(), false);
  }
  report(state, 2.0 * static_cast<double>(s.pixels() * s.o * s.filter_size()));
}
void conv_shapes(benchmark::internal::Benchmark* b) {
  b->Args({16, 32, 32, 3, 1})
      ->Args({16, 32, 64, 3, 2})
      ->Args({8, 64, 64, 3, 1})
      ->Args({56, 64, 64, 3, 1})
      ->UseRealTime();
}
BENCHMARK(conv)->Apply(conv_shapes);
BENCHMARK(conv_input_grad)->Apply(conv_shapes);
BENCHMARK(conv_weight_grad)->Apply(conv_shapes);

}  // namespace
