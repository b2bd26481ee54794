// Losses with their gradients: losses/<loss>/... Memory is what the allocator hands out beyond inputs and their
// gradients, at most; of_gemm is the speed of the same operations as plain products, measured in the same run.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "fovea/autograd/backward.h"
#include "fovea/core/allocator.h"
#include "fovea/kernels/gemm.h"
#include "fovea/ops/contrastive.h"
#include "fovea/ops/cross_entropy.h"
#include "fovea/ops/linear.h"
#include "fovea/ops/linear_cross_entropy.h"
#include "fovea/tensor/factory.h"

namespace {

using namespace fovea;

// Seconds of a (m, k) times the transpose of b (n, k), at best of three.
double product_seconds(std::int64_t m, std::int64_t n, std::int64_t k) {
  const Tensor a = random_normal({m, k}, RngKey{1}), b = random_normal({n, k}, RngKey{2});
  Tensor c({m, n});
  double best = 1e30;
  for (int i = 0; i < 3; ++i) {
    const auto start = std::chrono::steady_clock::now();
    kernels::gemm_f32(m, n, k, {a.data<float>(), k}, {b.data<float>(), k, true}, c.mutable_data<float>(), n);
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

// Runs loss(input, input) and its backward pass. `seconds` is what the operations of one run take as plain products.
template <class F>
void run(benchmark::State& state, double seconds, const std::array<Tensor, 2>& inputs, const F& loss) {
  const auto step = [&] { backward(loss(Var(inputs[0], true), Var(inputs[1], true))); };
  step();
  allocator::reset_peak();
  const std::int64_t live = allocator::stats().live_bytes;
  const std::int64_t gradients = (inputs[0].numel() + inputs[1].numel()) * static_cast<std::int64_t>(sizeof(float));
  for (auto _ : state) step();
  state.counters["extra_MB"] = static_cast<double>(allocator::stats().peak_bytes - live - gradients) / 1e6;
  state.counters["of_gemm"] =
      benchmark::Counter(seconds * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}

// n pairs of dim numbers. Forward is one product, backward two; the logits are computed again where they are not kept.
template <class F>
void contrastive(benchmark::State& state, const F& loss) {
  const std::int64_t n = state.range(0), dim = state.range(1);
  const Tensor a = random_normal({n, dim}, RngKey{1}, 0, 0.05), b = random_normal({n, dim}, RngKey{2}, 0, 0.05);
  const double tile = product_seconds(4096, 4096, dim) / (4096.0 * 4096.0);
  run(state, 4 * tile * static_cast<double>(n) * static_cast<double>(n), {a, b},
      [&](const Var& x, const Var& y) { return loss(x, y); });
}

void info_nce(benchmark::State& state) {
  const Var scale(full({}, 20), true);
  contrastive(state, [&](const Var& a, const Var& b) { return ops::info_nce(a, b, scale).loss; });
}
void pair_sigmoid(benchmark::State& state) {
  const Var scale(full({}, 10), true), bias(full({}, -10), true);
  contrastive(state, [&](const Var& a, const Var& b) { return ops::pair_sigmoid(a, b, scale, bias); });
}
void pairs(benchmark::internal::Benchmark* b) {
  b->Args({2048, 512})->Args({8192, 512})->Args({32768, 512})->Unit(benchmark::kMillisecond)->UseRealTime();
}
BENCHMARK(info_nce)->Name("losses/info_nce")->Apply(pairs);
BENCHMARK(pair_sigmoid)->Name("losses/pair_sigmoid")->Apply(pairs);

// Tokens, words, width. Three products either way.
template <class F>
void vocabulary(benchmark::State& state, const F& loss) {
  const std::int64_t tokens = state.range(0), words = state.range(1), width = state.range(2);
  const Tensor x = random_normal({tokens, width}, RngKey{1}), w = random_normal({words, width}, RngKey{2}, 0, 0.02);
  Tensor targets({tokens}, DType::i32);
  for (std::int64_t i = 0; i < tokens; ++i) {
    targets.mutable_data<std::int32_t>()[i] = static_cast<std::int32_t>(i * 7919 % words);
  }
  run(state, 3 * product_seconds(tokens, words, width), {x, w},
      [&](const Var& input, const Var& weight) { return loss(input, weight, targets); });
}
void fused(benchmark::State& state) {
  vocabulary(state, [](const Var& x, const Var& w, const Tensor& t) { return ops::linear_cross_entropy(x, w, {}, t); });
}
void unfused(benchmark::State& state) {
  vocabulary(state,
             [](const Var& x, const Var& w, const Tensor& t) { return ops::cross_entropy(ops::linear(x, w), t); });
}
void texts(benchmark::internal::Benchmark* b) {
  b->Args({1024, 50000, 512})->Args({4096, 50000, 512})->Unit(benchmark::kMillisecond)->UseRealTime();
}
BENCHMARK(fused)->Name("losses/linear_cross_entropy")->Apply(texts);
BENCHMARK(unfused)->Name("losses/linear_then_cross_entropy")->Apply(texts);

}  // namespace
