#include "fovea/optim/gradient_exchange.h"

#include <gtest/gtest.h>

#include "../support/thread_ranks.h"
#include "fovea/autograd/backward.h"
#include "fovea/autograd/checkpoint.h"
#include "fovea/nn/linear.h"
#include "fovea/ops/elementwise.h"
#include "fovea/ops/reduce.h"
#include "fovea/tensor/factory.h"
#include "fovea/tensor/reduce.h"

namespace fovea::optim {
namespace {

// Three layers in a row, and one that the loss does not depend on.
struct Net {
  nn::Linear first, second, third, unused;
  explicit Net(nn::Init init) : first(16, 32, init), second(32, 32, init), third(32, 8, init), unused(8, 8, init) {}
  static void visit(auto& self, auto&& f) {
    f("first", self.first), f("second", self.second), f("third", self.third), f("unused", self.unused);
  }
  // The second layer is used twice; with `checkpoints`, its second use is inside one.
  Var loss(const Tensor& x, bool checkpoints) const {
    const nn::Ctx ctx;
    const Var hidden = ops::exp(ops::mul(second(first(x, ctx), ctx), 0.1));
    const auto again = [this, ctx](std::span<const Var> in) { return third(second(in[0], ctx), ctx); };
    const Var y = checkpoints ? checkpoint(again, {hidden}) : again(std::span(&hidden, 1));
    return ops::mean(ops::mul(y, y));
  }
};

Tensor rows_of(int rank) { return random_normal({4, 16}, RngKey{static_cast<std::uint64_t>(rank) + 7}); }

// The mean over all ranks' rows of the gradient, computed alone.
Tensor expected_gradients(int ranks, bool checkpoints) {
  Net net(nn::Init(3));
  const auto entries = nn::collect(net);
  ParamStore store(entries);
  for (int rank = 0; rank < ranks; ++rank) backward(ops::mul(net.loss(rows_of(rank), checkpoints), 1.0 / ranks));
  store.complete_gradients();
  return store.gradients().clone();
}

TEST(GradientExchange, GivesTheMeansOverRanksWhileBackwardGoesOn) {
  for (const bool checkpoints : {false, true}) {
    for (const int ranks : {2, 3}) {
      const Tensor expected = expected_gradients(ranks, checkpoints);
      tests::on_ranks(ranks, [&](dist::Group& group) {
        Net net(nn::Init(3));
        const auto entries = nn::collect(net);
        ParamStore store(entries);
        GradientExchange exchange(store, group, 1024);
        EXPECT_EQ(exchange.buckets(), 4);  // of the layers
        Tensor first;
        for (int step = 0; step < 3; ++step) {
          store.clear_gradients();
          for (const auto& entry : entries) {  // what is left of earlier steps must not count
            store.view(store.gradients(), entry).fill(1e30);
          }
          {
            const WatchGradients watch(&exchange);
            last_backward(net.loss(rows_of(group.rank()), checkpoints));
          }
          exchange.finish();
          EXPECT_LE(max_abs_difference(store.gradients(), expected), 1e-6 * max_abs(expected)) << step;
          if (step == 0) first = store.gradients().clone();
          EXPECT_EQ(max_abs_difference(store.gradients(), first), 0);
          // Once the order is known, only what the loss does not depend on waits for the end.
          if (step > 0) {
            EXPECT_GE(exchange.started_early(), exchange.buckets() - 2);
          }
        }
      });
    }
  }
}

TEST(GradientExchange, PassesThatAreNotTheLastStartNothing) {
  tests::on_ranks(2, [&](dist::Group& group) {
    Net net(nn::Init(3));
    const auto entries = nn::collect(net);
    ParamStore store(entries);
    GradientExchange exchange(store, group, 1024);
    const WatchGradients watch(&exchange);
    backward(net.loss(rows_of(group.rank()), false));
    EXPECT_EQ(group.traffic().summed, 0);
    exchange.finish();
    EXPECT_EQ(exchange.started_early(), 0);
    EXPECT_LE(max_abs_difference(store.gradients(), expected_gradients(2, false)), 1e-6);
  });
}

}  // namespace
}  // namespace fovea::optim
