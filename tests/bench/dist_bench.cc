// What ranks cost each other: measured here, and predicted for more of them.
//
//   mpirun -n 2 build/bin/bench_dist                     latency, bandwidth, sums and losses on this machine
//   build/bin/bench_dist --predict --pairs-per-s 70 ...  step time, memory and traffic of 8 to 1,024 nodes
//
// The prediction is an alpha-beta model: a message of n bytes takes alpha + n / beta. docs/scaling.md explains it.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <functional>
#include <vector>

#include "fovea/autograd/backward.h"
#include "fovea/core/parallel.h"
#include "fovea/dist/mpi.h"
#include "fovea/ops/contrastive_ranks.h"
#include "fovea/ops/normalize.h"
#include "fovea/tensor/factory.h"

namespace {

using namespace fovea;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// Median seconds of one call, after two for warming up.
double seconds_of(dist::Group& group, int repetitions, const std::function<void()>& call) {
  std::vector<double> times;
  for (int i = -2; i < repetitions; ++i) {
    group.barrier();
    const double start = now();
    call();
    if (i >= 0) times.push_back(now() - start);
  }
  std::nth_element(times.begin(), times.begin() + repetitions / 2, times.end());
  return times[static_cast<std::size_t>(repetitions / 2)];
}

void print(dist::Group& group, const char* what, double bytes, double seconds) {
  if (group.rank() > 0) return;
  std::printf("%-34s %12.0f bytes %12.1f us", what, bytes, 1e6 * seconds);
  if (bytes > 1000) std::printf(" %8.2f GB/s", 1e-9 * bytes / seconds);
  std::printf("\n");
}

void measure(dist::Group& group) {
  const int right = (group.rank() + 1) % group.size(), left = (group.rank() + group.size() - 1) % group.size();
  if (group.rank() == 0) std::printf("%d ranks, %d threads each\n", group.size(), num_threads());
  for (const std::int64_t bytes :
       {std::int64_t{8}, std::int64_t{1} << 16, std::int64_t{1} << 20, std::int64_t{1} << 24}) {
    Tensor out = zeros({bytes}, DType::u8), in(out.shape(), DType::u8);
    const int at_once = bytes < 1000 ? 1000 : 1;
    const double seconds = seconds_of(group, 21, [&] {
      for (int i = 0; i < at_once; ++i) group.exchange(out.raw(), right, in.mutable_raw(), left, bytes)->wait();
    });
    print(group, "exchange with both neighbours", static_cast<double>(bytes), seconds / at_once);
  }
  for (const std::int64_t bytes : {std::int64_t{8}, std::int64_t{4} << 20, std::int64_t{64} << 20}) {
    Tensor x = zeros({bytes / 4});
    print(group, "sum of f32", static_cast<double>(bytes), seconds_of(group, 11, [&] { group.sum(x); }));
  }
  constexpr std::int64_t rows = 1024, width = 512;
  const auto seed = static_cast<std::uint64_t>(group.rank());
  const Var a(ops::l2_normalize(random_normal({rows, width}, RngKey{seed})).value(), true);
  const Var b(ops::l2_normalize(random_normal({rows, width}, RngKey{seed + 100})).value(), true);
  const Var scale(scalar(10.f), true), bias(scalar(-10.f), true);
  for (const auto& [name, exchange] :
       {std::pair("ring", ops::RankExchange::ring), {"gather", ops::RankExchange::gather}}) {
    const auto nce = seconds_of(group, 11, [&] { backward(ops::info_nce(a, b, scale, 0, group, exchange).loss); });
    const auto sigmoid =
        seconds_of(group, 11, [&] { backward(ops::pair_sigmoid(a, b, scale, bias, group, exchange)); });
    const ops::RankBytes nce_bytes = ops::info_nce_traffic(rows, width, 4, group.size(), exchange);
    const ops::RankBytes sigmoid_bytes = ops::pair_sigmoid_traffic(rows, width, 4, group.size(), exchange);
    const auto line = [&](const char* loss, double seconds, const ops::RankBytes& bytes) {
      if (group.rank() == 0)
        std::printf("%-12s 1,024 pairs a rank, width 512, %-6s %8.2f ms, sends %.2f MB\n", loss, name, 1e3 * seconds,
                    1e-6 * static_cast<double>(bytes.forward + bytes.backward));
    };
    line("info_nce", nce, nce_bytes);
    line("pair_sigmoid", sigmoid, sigmoid_bytes);
  }
}

// A network, a node and a model.
struct Setting {
  double alpha = 2e-6;          // seconds of a message without content
  double gigabytes = 12.5;      // per second and direction
  double pairs_per_s = 0;       // of one node alone, without the loss over other nodes
  double parameters = 151.3e6;  // ViT-B/32's
  double gflops = 100;          // of one node's products
  std::int64_t pairs = 256;     // of one node
  std::int64_t width = 512;
};

struct Prediction {
  double compute = 0, loss = 0, gradients = 0, exposed = 0, step = 0;  // seconds
  double memory = 0, feature_bytes = 0, gradient_bytes = 0;            // bytes
};

Prediction predict(const Setting& s, int nodes, ops::RankExchange exchange) {
  const bool ring = exchange == ops::RankExchange::ring;
  const double n = static_cast<double>(s.pairs), all = n * nodes, width = static_cast<double>(s.width);
  const double beta = 1e9 * s.gigabytes, rate = 1e9 * s.gflops, others = nodes - 1;
  const ops::RankBytes bytes = ops::info_nce_traffic(s.pairs, s.width, 4, nodes, exchange);
  Prediction p;
  p.compute = n / s.pairs_per_s;
  p.feature_bytes = static_cast<double>(bytes.forward + bytes.backward);
  // Products of two matrices: the ring's logits twice, and both gradients; the gather's of both directions.
  const double product = 2 * n * all * width / rate;
  if (ring) {
    // Each step's block, and the gradient of the one before, travel while a block is computed with.
    const double forward = std::max(product / nodes, s.alpha + static_cast<double>(bytes.forward) / nodes / beta);
    const double backward =
        std::max(3 * product / nodes, 3 * s.alpha + static_cast<double>(bytes.backward) / nodes / beta);
    p.loss = nodes * (forward + backward);
    p.memory = 5 * n * width * 4;
  } else {
    const bool kept = n * all <= (n + all) * width;
    p.loss = (kept ? 6 : 8) * product + 4 * others * s.alpha + p.feature_bytes / beta;
    p.memory = 4 * all * width * 4 + (kept ? 2 * n * all * 4 : 0);
  }
  const double block = 4 * s.parameters;
  p.gradient_bytes = nodes == 1 ? 0 : 2 * others / nodes * block;
  p.gradients =
      nodes == 1 ? 0
                 : 2 * std::ceil(std::log2(nodes)) * s.alpha * std::ceil(block / (4 << 20)) + p.gradient_bytes / beta;
  p.exposed = std::max(0.0, p.gradients - p.compute * 2 / 3);  // two thirds of a step are backward
  p.step = p.compute + p.loss + p.exposed;
  p.memory += 4 * block;  // weights, gradients, two moments
  return p;
}

void print_predictions(const Setting& s) {
  std::printf(
      "%lld pairs a node, %.1f M parameters, width %lld, %.0f pairs/s and %.0f GFLOP/s a node, alpha %.1f us, "
      "beta %.2f GB/s\n\n",
      static_cast<long long>(s.pairs), 1e-6 * s.parameters, static_cast<long long>(s.width), s.pairs_per_s, s.gflops,
      1e6 * s.alpha, s.gigabytes);
  std::printf(
      "| nodes | batch | exchange | step ms | compute | loss | gradients (exposed) | efficiency | features sent | "
      "memory besides activations |\n|---|---|---|---|---|---|---|---|---|---|\n");
  for (const int nodes : {1, 2, 8, 16, 64, 256, 1024}) {
    for (const auto& [name, exchange] :
         {std::pair("ring", ops::RankExchange::ring), {"gather", ops::RankExchange::gather}}) {
      const Prediction p = predict(s, nodes, exchange);
      std::printf("| %d | %lld | %s | %.0f | %.0f | %.1f | %.0f (%.0f) | %.1f %% | %.2f MB | %.2f GB |\n", nodes,
                  static_cast<long long>(s.pairs * nodes), name, 1e3 * p.step, 1e3 * p.compute, 1e3 * p.loss,
                  1e3 * p.gradients, 1e3 * p.exposed, 100 * p.compute / p.step, 1e-6 * p.feature_bytes,
                  1e-9 * p.memory);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Measures what ranks cost each other, or predicts it for more of them.");
  bool prediction = false;
  Setting setting;
  double alpha_us = 1e6 * setting.alpha;
  app.add_flag("--predict", prediction, "predict instead of measuring");
  app.add_option("--alpha-us", alpha_us, "latency of the network")->capture_default_str();
  app.add_option("--beta-gb", setting.gigabytes, "its bandwidth per direction, GB/s")->capture_default_str();
  app.add_option("--pairs-per-s", setting.pairs_per_s, "training speed of one node alone");
  app.add_option("--gflops", setting.gflops, "of one node's matrix products")->capture_default_str();
  app.add_option("--parameters", setting.parameters, "of the model")->capture_default_str();
  app.add_option("--pairs", setting.pairs, "of one node's part of the batch")->capture_default_str();
  app.add_option("--width", setting.width, "of the joint space")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  setting.alpha = 1e-6 * alpha_us;
  try {
    if (!prediction) {
      measure(dist::world());
    } else {
      FOVEA_CHECK(setting.pairs_per_s > 0, "[bench_dist] --pairs-per-s is missing: what train_clip logs on one node");
      print_predictions(setting);
    }
  } catch (const std::exception& error) {
    return dist::report_failure(error.what());
  }
  return 0;
}
