// Speed of attention at the sizes of published models, as operations per second and as a share of the FMA peak.
#include <benchmark/benchmark.h>

#include <vector>

#include "fovea/core/parallel.h"
#include "fovea/kernels/attention.h"
#include "fovea/kernels/roofline.h"
#include "fovea/tensor/factory.h"
#include "fovea/tensor/packed.h"

namespace {

using namespace fovea;

// Queries, keys and values lie in one matrix, as a transformer block has them, and so do their gradients.
struct SelfAttention {
  std::int64_t batch, tokens, heads = 12, head_dim = 64, width = heads * head_dim, stride = 3 * width;
  PackedLayout layout;
  Tensor qkv, dqkv, out, dout, logsumexp;
  kernels::AttentionProblem problem;

  explicit SelfAttention(const benchmark::State& state)
      : batch(state.range(0)),
        tokens(state.range(1)),
        layout(PackedLayout::uniform(batch, tokens)),
        qkv(random_normal({batch * tokens, stride}, RngKey{1})),
        dqkv(zeros(qkv.shape())),
        out(zeros({batch * tokens, width})),
        dout(random_normal({batch * tokens, width}, RngKey{2})),
        logsumexp({heads, batch * tokens}),
        problem{layout.offsets.data<std::int64_t>(),
                layout.offsets.data<std::int64_t>(),
                batch,
                heads,
                head_dim,
                state.range(2) ? kernels::AttentionKind::causal : kernels::AttentionKind::full,
                0.125} {}

  kernels::AttentionInputs<float> inputs() const {
    const float* x = qkv.data<float>();
    return {{x, stride}, {x + width, stride}, {x + 2 * width, stride}};
  }
  void forward() {
    kernels::attention_forward_f32(problem, inputs(), {out.mutable_data<float>(), width},
                                   logsumexp.mutable_data<float>());
  }
  void backward() {
    float* dx = dqkv.mutable_data<float>();
    kernels::attention_backward_f32(problem, inputs(), {dout.data<float>(), width}, logsumexp.data<float>(),
                                    {{dx, stride}, {dx + width, stride}, {dx + 2 * width, stride}});
  }
  // `products` matrix products of full attention; causal attention needs about half of that.
  void report(benchmark::State& state, double products) const {
    const auto scores = static_cast<double>(batch * heads * tokens * tokens);
    const double operations = products * 2 * scores * static_cast<double>(head_dim * state.iterations());
    static const double peak = kernels::fma_peak();
    state.counters["FLOP/s"] = benchmark::Counter(operations, benchmark::Counter::kIsRate);
    state.counters["of_peak"] = benchmark::Counter(operations / (peak * num_threads()), benchmark::Counter::kIsRate);
  }
};

void attention_forward(benchmark::State& state) {
  SelfAttention attention(state);
  for (auto _ : state) attention.forward();
  attention.report(state, 2);
}
void attention(benchmark::State& state) {
  SelfAttention attention(state);
  for (auto _ : state) {
    attention.forward();
    attention.backward();
  }
  attention.report(state, 7);
}
// batch, tokens, causal; 12 heads of 64.
void attention_shapes(benchmark::internal::Benchmark* b) {
  b->Unit(benchmark::kMillisecond)->UseRealTime();
  for (const auto& [batch, tokens] : {std::pair{32, 50}, {32, 77}, {16, 197}, {8, 257}}) {
    for (int causal : {0, 1}) b->Args({batch, tokens, causal});
  }
}
BENCHMARK(attention_forward)->Apply(attention_shapes);
BENCHMARK(attention)->Apply(attention_shapes);

}  // namespace
