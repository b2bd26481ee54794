// What mpi_test.cc has mpirun run: rank_program NAME. Ends with 0 when the ranks did what they should.
#include <signal.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>

#include "fovea/autograd/backward.h"
#include "fovea/core/allocator.h"
#include "fovea/core/log.h"
#include "fovea/core/parallel.h"
#include "fovea/dist.h"
#include "fovea/ops/contrastive_ranks.h"
#include "fovea/ops/normalize.h"
#include "fovea/tensor/factory.h"
#include "fovea/tensor/reduce.h"

namespace fovea {
namespace {

void collectives(dist::Group& group) {
  const int ranks = group.size(), rank = group.rank();
  const std::int64_t n = 50000;  // more than what MPI sends without a handshake
  const Tensor own = random_normal({n}, RngKey{static_cast<std::uint64_t>(rank)});
  const Tensor all = group.all_gather(own);
  Tensor expected = zeros({n});
  for (int r = 0; r < ranks; ++r) {
    const Tensor theirs = random_normal({n}, RngKey{static_cast<std::uint64_t>(r)});
    FOVEA_CHECK(max_abs_difference(all.rows(r * n, (r + 1) * n), theirs) == 0, "gathered rows differ");
    for (std::int64_t i = 0; i < n; ++i) expected.mutable_data<float>()[i] += theirs.data<float>()[i];
  }
  Tensor sum = own.clone();
  group.sum(sum);
  FOVEA_CHECK(max_abs_difference(sum, expected) < 1e-5, "sums differ");
  Tensor first = sum.clone();
  group.broadcast(first.mutable_raw(), first.bytes());
  FOVEA_CHECK(std::memcmp(first.raw(), sum.raw(), static_cast<std::size_t>(sum.bytes())) == 0, "sums of ranks differ");
  const Tensor scattered = group.reduce_scatter(all);
  for (std::int64_t i = 0; i < n; ++i)
    FOVEA_CHECK(std::abs(scattered.at(i) - ranks * own.at(i)) < 1e-5, "scattered rows differ");
  Tensor count = full({1}, rank, DType::i64);
  group.sum(count);
  FOVEA_CHECK(count.item() == ranks * (ranks - 1) / 2, "i64");
  FOVEA_CHECK(group.broadcast("from " + std::to_string(rank), 1) == "from 1", "text");
  group.barrier();
}

// The losses of pairs on all ranks against those of one.
void losses(dist::Group& group) {
  for (const DType type : {DType::f32, DType::f64}) {
    const double tolerance = type == DType::f32 ? 1e-5 : 1e-12;
    const std::int64_t n = 20, begin = group.rank() * n, pairs = n * group.size();
    const Tensor all_a = ops::l2_normalize(random_normal({pairs, 24}, RngKey{1}, 0, 1, type)).value();
    const Tensor all_b = ops::l2_normalize(random_normal({pairs, 24}, RngKey{2}, 0, 1, type)).value();
    for (const bool sigmoid : {false, true}) {
      for (const auto exchange : {ops::RankExchange::ring, ops::RankExchange::gather}) {
        const Var whole_a(all_a, true), whole_b(all_b, true), scale(scalar(15, type), true),
            bias(scalar(-3, type), true);
        const Var a(all_a.rows(begin, begin + n).clone(), true), b(all_b.rows(begin, begin + n).clone(), true);
        const Var own_scale(scalar(15, type), true);
        Var loss, expected;
        if (sigmoid) {
          expected = ops::pair_sigmoid(whole_a, whole_b, scale, bias);
          loss = ops::pair_sigmoid(a, b, own_scale, bias.detach(), group, exchange);
        } else {
          ops::InfoNceOptions options;
          options.label_smoothing = 0.1;
          expected = ops::info_nce(whole_a, whole_b, scale, options).loss;
          loss = ops::info_nce(a, b, own_scale, 0.1, group, exchange).loss;
        }
        backward(expected);
        backward(loss);
        FOVEA_CHECK(std::abs(loss.item() - expected.item()) <= tolerance * expected.item(), "loss");
        for (const auto& [ours, theirs] : {std::pair(a, whole_a), std::pair(b, whole_b)}) {
          const Tensor wanted = theirs.grad().rows(begin, begin + n), got = ours.grad();
          for (std::int64_t i = 0; i < got.numel(); ++i) {
            FOVEA_CHECK(std::abs(got.at(i) / group.size() - wanted.at(i)) <= tolerance * max_abs(theirs.grad()),
                        "gradients");
          }
        }
        Tensor dscale = own_scale.grad().clone();
        group.sum(dscale);
        FOVEA_CHECK(std::abs(dscale.item() / group.size() - scale.grad().item()) <= tolerance, "scale");
      }
    }
  }
}

// The ring holds no n x n block, and moves the bytes of its model.
void memory(dist::Group& group) {
  set_num_threads(1);
  constexpr std::int64_t n = 2048, width = 32;
  const auto seed = static_cast<std::uint64_t>(group.rank());
  const Var a(ops::l2_normalize(random_normal({n, width}, RngKey{seed})).value(), true);
  const Var b(ops::l2_normalize(random_normal({n, width}, RngKey{seed + 100})).value(), true);
  const Var scale(scalar(10.f), true), bias(scalar(-10.f), true);
  const auto measured = [&](const char* name, const ops::RankBytes& model, auto&& loss) {
    const std::int64_t live = allocator::stats().live_bytes, sent = group.traffic().sent;
    allocator::reset_peak();
    backward(loss());
    const std::int64_t peak = allocator::stats().peak_bytes - live, moved = group.traffic().sent - sent;
    FOVEA_CHECK(moved == model.forward + model.backward, name, " moved ", moved, " bytes, the model says ",
                model.forward + model.backward);
    FOVEA_CHECK(peak < n * n * 4 / 2, name, " took ", peak, " bytes");
    if (group.rank() == 0)
      std::printf("%s: %lld bytes of memory, %lld sent\n", name, static_cast<long long>(peak),
                  static_cast<long long>(moved));
  };
  const auto ring = ops::RankExchange::ring;
  measured("info_nce", ops::info_nce_traffic(n, width, 4, group.size(), ring),
           [&] { return ops::info_nce(a, b, scale, 0, group, ring).loss; });
  measured("pair_sigmoid", ops::pair_sigmoid_traffic(n, width, 4, group.size(), ring),
           [&] { return ops::pair_sigmoid(a, b, scale, bias, group, ring); });
}

void run(const std::string& name) {
  dist::Group& group = dist::world();
  Tensor x = ones({10});
  if (name == "collectives") return collectives(group);
  if (name == "losses") return losses(group);
  if (name == "memory") return memory(group);
  if (name == "threads") {
    std::printf("rank %d of %d has %d threads\n", group.rank(), group.size(), num_threads());
    return;
  }
  if (name == "hangs" && group.rank() == 1) ::sleep(60);
  if (name == "dies" && group.rank() == 1) ::raise(SIGKILL);
  if (name == "leaves" && group.rank() == 1) ::_exit(0);
  if (name == "fails" && group.rank() == 1) fail("[test] only here");
  if (name == "all_fail") fail("[test] the same on every rank");
  if (name == "warns") log::warning("be careful");
  group.sum(x);
}

}  // namespace
}  // namespace fovea

int main(int, char** argv) {
  try {
    fovea::run(argv[1]);
  } catch (const std::exception& error) {
    return fovea::dist::report_failure(error.what());
  }
  return 0;
}
