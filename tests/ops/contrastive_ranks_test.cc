#include "fovea/ops/contrastive_ranks.h"

#include <gtest/gtest.h>

#include "../support/error_of.h"
#include "../support/thread_ranks.h"
#include "fovea/autograd/backward.h"
#include "fovea/ops/normalize.h"
#include "fovea/ops/ranks.h"
#include "fovea/tensor/factory.h"
#include "fovea/tensor/reduce.h"
#include "fovea/testing/golden.h"
#include "fovea/testing/gradcheck.h"

namespace fovea::ops {
namespace {

enum class Kind { info_nce, sigmoid };

struct Inputs {
  Tensor a, b, scale, bias;
};

Inputs random_inputs(std::int64_t pairs, std::int64_t width, DType type) {
  const Tensor a = random_normal({pairs, width}, RngKey{1}, 0, 1, type);
  Tensor b = random_normal({pairs, width}, RngKey{2}, 0, 1, type);
  return {l2_normalize(a).value(), l2_normalize(b).value(), scalar(20, type), scalar(-4, type)};
}

// A loss and its gradients: of all rows, put together from all ranks, and the means of those of the scalars.
struct Outcome {
  std::vector<double> losses;  // of every rank
  double rows = 0, columns = 0;
  Tensor da, db;
  double dscale = 0, dbias = 0;
  std::int64_t forward_bytes = 0, backward_bytes = 0;  // that rank 0 sent
};

Outcome single(const Inputs& in, Kind kind, double smoothing) {
  const Var a(in.a, true), b(in.b, true), scale(in.scale, true), bias(in.bias, true);
  Outcome out;
  Var loss;
  if (kind == Kind::info_nce) {
    InfoNceOptions options;
    options.label_smoothing = smoothing;
    const InfoNceResult result = info_nce(a, b, scale, options);
    loss = result.loss, out.rows = result.rows, out.columns = result.columns;
  } else {
    loss = pair_sigmoid(a, b, scale, bias);
  }
  backward(loss);
  out.losses = {loss.item()};
  out.da = a.grad(), out.db = b.grad(), out.dscale = scale.grad().item();
  if (kind == Kind::sigmoid) out.dbias = bias.grad().item();
  return out;
}

Outcome spread(const Inputs& in, Kind kind, double smoothing, int ranks, RankExchange exchange) {
  Outcome out{std::vector<double>(static_cast<std::size_t>(ranks)), 0, 0, Tensor(in.a.shape(), in.a.dtype()),
              Tensor(in.b.shape(), in.b.dtype())};
  std::mutex mutex;
  tests::on_ranks(ranks, [&](dist::Group& group) {
    const std::int64_t n = in.a.dim(0) / ranks, begin = group.rank() * n;
    const Var a(in.a.rows(begin, begin + n).clone(), true), b(in.b.rows(begin, begin + n).clone(), true);
    const Var scale(in.scale.clone(), true), bias(in.bias.clone(), true);
    InfoNceResult result;
    if (kind == Kind::info_nce) {
      result = info_nce(a, b, scale, smoothing, group, exchange);
    } else {
      result.loss = pair_sigmoid(a, b, scale, bias, group, exchange);
    }
    const std::int64_t before = group.traffic().sent;
    backward(result.loss);
    const std::lock_guard lock(mutex);
    out.losses[static_cast<std::size_t>(group.rank())] = result.loss.item();
    out.rows = result.rows, out.columns = result.columns;
    // Means over ranks of gradients that one rank's rows alone have.
    for (const auto& [from, to] : {std::pair(a.grad(), out.da), std::pair(b.grad(), out.db)}) {
      const Tensor share = from;
      Tensor place = to.rows(begin, begin + n);
      for (std::int64_t i = 0; i < share.numel(); ++i) {
        dispatch_floating(place.dtype(), "test",
                          [&]<class T>() { place.mutable_data<T>()[i] = static_cast<T>(share.at(i) / ranks); });
      }
    }
    out.dscale += scale.grad().item() / ranks;
    if (kind == Kind::sigmoid) out.dbias += bias.grad().item() / ranks;
    if (group.rank() == 0) {
      out.forward_bytes = before;
      out.backward_bytes = group.traffic().sent - before;
    }
  });
  return out;
}

void expect_same(const Outcome& ours, const Outcome& expected, double tolerance) {
  for (const double loss : ours.losses) EXPECT_NEAR(loss, expected.losses[0], tolerance * expected.losses[0]);
  for (const double loss : ours.losses) EXPECT_EQ(loss, ours.losses[0]);
  EXPECT_NEAR(ours.rows, expected.rows, tolerance * expected.losses[0]);
  EXPECT_NEAR(ours.columns, expected.columns, tolerance * expected.losses[0]);
  EXPECT_LE(max_abs_difference(ours.da, expected.da), tolerance * max_abs(expected.da));
  EXPECT_LE(max_abs_difference(ours.db, expected.db), tolerance * max_abs(expected.db));
  EXPECT_NEAR(ours.dscale, expected.dscale, tolerance * std::max(std::abs(expected.dscale), 1e-2));
  EXPECT_NEAR(ours.dbias, expected.dbias, tolerance * std::max(std::abs(expected.dbias), 1e-2));
}

constexpr RankExchange exchanges[]{RankExchange::ring, RankExchange::gather};

TEST(ContrastiveRanks, GiveTheGradientsOfOneRank) {
  for (const DType type : {DType::f32, DType::f64}) {
    for (const std::int64_t pairs : {12, 156}) {
      const Inputs in = random_inputs(pairs, 24, type);
      for (const Kind kind : {Kind::info_nce, Kind::sigmoid}) {
        for (const double smoothing : {0.0, 0.1}) {
          if (kind == Kind::sigmoid && smoothing > 0) continue;
          const Outcome expected = single(in, kind, smoothing);
          for (const int ranks : {1, 2, 3, 4}) {
            for (const RankExchange exchange : exchanges) {
              SCOPED_TRACE(concat(to_string(type), " ", pairs, " pairs, loss ", static_cast<int>(kind), ", smoothing ",
                                  smoothing, ", ", ranks, " ranks, exchange ", static_cast<int>(exchange)));
              expect_same(spread(in, kind, smoothing, ranks, exchange), expected, type == DType::f64 ? 1e-12 : 1e-5);
            }
          }
        }
      }
    }
  }
}

// open_clip's ClipLoss with local_loss and gather_with_grad, and its SigLipLoss in each way of exchanging features.
TEST(ContrastiveRanks, GoldenOpenClip) {
  const testing::Golden golden(FOVEA_SOURCE_DIR "/tests/golden/rank_losses.safetensors");
  const Inputs in{golden["image"], golden["text"], golden["scale"], golden["bias"]};
  const auto check = [&](const std::string& name, Kind kind, int ranks, RankExchange exchange) {
    SCOPED_TRACE(concat(ranks, " ranks, ", name, ", exchange ", static_cast<int>(exchange)));
    const std::string prefix = concat(ranks, ".", name, ".");
    Outcome expected;
    expected.losses = {golden[prefix + "loss"].item()};
    expected.da = golden[prefix + "dimage"], expected.db = golden[prefix + "dtext"];
    expected.dscale = golden[prefix + "dscale"].item();
    if (kind == Kind::sigmoid) expected.dbias = golden[prefix + "dbias"].item();
    Outcome ours = spread(in, kind, 0, ranks, exchange);
    EXPECT_NEAR((ours.rows + ours.columns) / 2, kind == Kind::info_nce ? expected.losses[0] : 0, 1e-9);
    ours.rows = ours.columns = 0;
    expect_same(ours, expected, 1e-9);
  };
  for (const int ranks : {1, 2, 3, 4}) {
    for (const RankExchange exchange : exchanges) {
      check("clip", Kind::info_nce, ranks, exchange);
      for (const char* impl : {"bidir", "shift", "reduce", "gather"})
        check(concat("siglip.", impl), Kind::sigmoid, ranks, exchange);
    }
  }
}

TEST(ContrastiveRanks, MoveTheBytesOfTheModel) {
  constexpr std::int64_t pairs = 24, width = 16;
  for (const DType type : {DType::f32, DType::f64}) {
    const Inputs in = random_inputs(pairs, width, type);
    for (const int ranks : {1, 2, 3, 4}) {
      for (const RankExchange exchange : exchanges) {
        const RankBytes nce = info_nce_traffic(pairs / ranks, width, size_of(type), ranks, exchange);
        const Outcome ours = spread(in, Kind::info_nce, 0, ranks, exchange);
        EXPECT_EQ(ours.forward_bytes, nce.forward);
        EXPECT_EQ(ours.backward_bytes, nce.backward);
        const RankBytes pairwise = pair_sigmoid_traffic(pairs / ranks, width, size_of(type), ranks, exchange);
        const Outcome sigmoid = spread(in, Kind::sigmoid, 0, ranks, exchange);
        EXPECT_EQ(sigmoid.forward_bytes, pairwise.forward);
        EXPECT_EQ(sigmoid.backward_bytes, pairwise.backward);
      }
    }
  }
}

// A locked tower: its features want no gradient.
TEST(ContrastiveRanks, GradientsOfOneSideAlone) {
  const Inputs in = random_inputs(12, 8, DType::f64);
  const Outcome expected = single(in, Kind::info_nce, 0.1);
  for (const RankExchange exchange : exchanges) {
    for (const bool first : {true, false}) {
      tests::on_ranks(3, [&](dist::Group& group) {
        const std::int64_t begin = group.rank() * 4;
        const Var a(in.a.rows(begin, begin + 4).clone(), first), b(in.b.rows(begin, begin + 4).clone(), !first);
        backward(info_nce(a, b, in.scale, 0.1, group, exchange).loss);
        const Tensor ours = (first ? a : b).grad(), theirs = (first ? expected.da : expected.db).rows(begin, begin + 4);
        for (std::int64_t i = 0; i < ours.numel(); ++i) ASSERT_NEAR(ours.at(i) / 3, theirs.at(i), 1e-13);
      });
    }
  }
}

TEST(Ranks, GatheredRowsHaveExactGradients) {
  tests::on_ranks(3, [&](dist::Group& group) {
    const Var x(full({2, 2}, group.rank() + 1, DType::f64), true);
    const Var all = all_gather(x, group);
    ASSERT_EQ(all.shape(), (Shape{6, 2}));
    for (std::int64_t i = 0; i < 12; ++i) EXPECT_EQ(all.value().at(i), static_cast<double>(i / 4 + 1));
    Tensor dy({6, 2}, DType::f64);
    for (std::int64_t i = 0; i < 12; ++i) dy.mutable_data<double>()[i] = static_cast<double>(100 * group.rank() + i);
    backward(all, dy);
    for (std::int64_t i = 0; i < 4; ++i)
      EXPECT_EQ(x.grad().at(i), static_cast<double>(300 + 3 * (4 * group.rank() + i)));
  });
}

TEST(ContrastiveRanks, SayWhatDoesNotFit) {
  tests::on_ranks(2, [&](dist::Group& group) {
    const Tensor a = zeros({4, 8}), b = zeros({3, 8});
    EXPECT_NE(tests::error_of([&] {
                info_nce(a, b, scalar(1), 0, group);
              }).find("[info_nce] rows 0 to 4 have labels among 3 columns"),
              std::string::npos);
    EXPECT_NE(tests::error_of([&] {
                pair_sigmoid(b, a, scalar(1), scalar(0), group);
              }).find("[pair_sigmoid] 3 and 4 rows, expected as many"),
              std::string::npos);
  });
}

}  // namespace
}  // namespace fovea::ops
