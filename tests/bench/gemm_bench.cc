// The products of the presets' layers, beside other libraries': gemm/<layer>/<product>/<library>.
#include <benchmark/benchmark.h>

#include "fovea/core/parallel.h"
#include "fovea/kernels/gemm.h"
#include "fovea/kernels/roofline.h"
#include "fovea/tensor/factory.h"
#include "gemm_peers.h"

namespace {

using namespace fovea;

// A linear layer of a preset at the batch that docs/benchmarks.md times it with.
struct Layer {
  const char* name;
  std::int64_t rows, inputs, outputs;
};
constexpr Layer layers[] = {
    {"small.patch", 8192, 192, 256},       {"small.vision.qkv", 8320, 256, 768},
    {"small.vision.out", 8320, 256, 256},  {"small.vision.fc1", 8320, 256, 1024},
    {"small.vision.fc2", 8320, 1024, 256}, {"small.text.qkv", 4096, 256, 768},
    {"small.text.out", 4096, 256, 256},    {"small.text.fc1", 4096, 256, 1024},
    {"small.text.fc2", 4096, 1024, 256},   {"small.head", 128, 256, 256},
    {"s16.patch", 3136, 768, 384},         {"s16.vision.qkv", 3200, 384, 1152},
    {"s16.vision.out", 3200, 384, 384},    {"s16.vision.fc1", 3200, 384, 1536},
    {"s16.vision.fc2", 3200, 1536, 384},   {"s16.text.qkv", 2048, 384, 1152},
    {"s16.text.out", 2048, 384, 384},      {"s16.text.fc1", 2048, 384, 1536},
    {"s16.text.fc2", 2048, 1536, 384},     {"s16.head", 64, 384, 384},
    {"b32.patch", 1568, 3072, 768},        {"b32.vision.qkv", 1600, 768, 2304},
    {"b32.vision.out", 1600, 768, 768},    {"b32.vision.fc1", 1600, 768, 3072},
    {"b32.vision.fc2", 1600, 3072, 768},   {"b32.text.qkv", 2464, 512, 1536},
    {"b32.text.out", 2464, 512, 512},      {"b32.text.fc1", 2464, 512, 2048},
    {"b32.text.fc2", 2464, 2048, 512},     {"b32.head", 32, 768, 512},
    {"rn50.conv56a", 50176, 64, 256},      {"rn50.conv56b", 50176, 256, 64},
    {"rn50.conv28a", 12544, 128, 512},     {"rn50.conv28b", 12544, 512, 128},
    {"rn50.conv14a", 3136, 256, 1024},     {"rn50.conv14b", 3136, 1024, 256},
    {"rn50.conv7a", 784, 512, 2048},       {"rn50.conv7b", 784, 2048, 512},
    {"rn50.attention", 800, 2048, 2048},
};

std::function<void()> prepare(const bench::Product& p) {
  return [p] {
    kernels::gemm_f32(p.m, p.n, p.k, {p.a, p.a_transposed ? p.m : p.k, p.a_transposed},
                      {p.b, p.b_transposed ? p.k : p.n, p.b_transposed}, p.c, p.n);
  };
}

void run(benchmark::State& state, bench::Product product, const bench::GemmPeer& library) {
  static const double peak = kernels::fma_peak() * num_threads();
  const Tensor a = random_normal({product.m, product.k}, RngKey{1}),
               b = random_normal({product.k, product.n}, RngKey{2});
  Tensor c({product.m, product.n});
  product.a = a.data<float>();
  product.b = b.data<float>();
  product.c = c.mutable_data<float>();
  const auto multiply = library.prepare(product);
  multiply();
  for (auto _ : state) multiply();
  const double operations = 2.0 * static_cast<double>(product.m * product.n * product.k * state.iterations());
  state.counters["FLOP/s"] = benchmark::Counter(operations, benchmark::Counter::kIsRate);
  state.counters["of_peak"] = benchmark::Counter(operations / peak, benchmark::Counter::kIsRate);
}

void add(const std::string& name, const bench::Product& product, const bench::GemmPeer& library) {
  benchmark::RegisterBenchmark(("gemm/" + name + "/" + library.name).c_str(),
                               [=](benchmark::State& state) { run(state, product, library); })
      ->UseRealTime()
      ->MinTime(0.05);
}

// y = x W', dx = dy W, dW = dy' x.
const bool added = [] {
  std::vector<bench::GemmPeer> libraries = bench::gemm_peers();
  libraries.insert(libraries.begin(), {"fovea", prepare});
  for (const bench::GemmPeer& library : libraries) {
    for (const Layer& l : layers) {
      const std::string name = l.name;
      add(name + "/forward", {l.rows, l.outputs, l.inputs, false, true, nullptr, nullptr, nullptr}, library);
      add(name + "/input_grad", {l.rows, l.inputs, l.outputs, false, false, nullptr, nullptr, nullptr}, library);
      add(name + "/weight_grad", {l.outputs, l.inputs, l.rows, true, false, nullptr, nullptr, nullptr}, library);
    }
  }
  return true;
}();

}  // namespace
