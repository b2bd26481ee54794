#include "fovea/optim/ema.h"

#include <gtest/gtest.h>

#include "../support/error_of.h"
#include "fovea/tensor/factory.h"
#include "fovea/tensor/reduce.h"

namespace fovea::optim {
namespace {

struct Model {
  nn::Param weight;
  nn::Buffer running;
  static void visit(auto& self, auto&& f) { f("weight", self.weight), f("running", self.running); }
};

Tensor numbers(std::initializer_list<double> values, DType dtype) {
  return from_values<double>({static_cast<std::int64_t>(values.size())}, std::vector<double>(values)).to(dtype);
}

// timm 1.0.31: ModelEmaV3(model, decay=0.6, use_warmup=...), updated with step = 1..6.
TEST(Ema, EqualsTimm) {
  for (const DType dtype : {DType::f64, DType::f32}) {
    for (const bool warmup : {false, true}) {
      Model model{nn::Param(numbers({1, -2, 0.5}, dtype)), nn::Buffer(numbers({0.25, 4}, dtype))};
      const auto entries = nn::collect(model);
      ParamStore store(entries);
      Ema ema(store, entries, 0.6, warmup);
      for (int t = 1; t <= 6; ++t) {
        model.weight.value().copy_from(numbers({1.0 + t, -2.0 * t, 0.5 / t}, dtype));
        model.running.value().copy_from(numbers({0.25 * t * t, 4.0 - t}, dtype));
        ema.update(t);
      }
      const Tensor weight = warmup ? numbers({5.670339070170956, -9.340678140341913, 0.1310555606342832}, dtype)
                                   : numbers({5.61664, -9.23328, 0.14157333333333333}, dtype);
      const Tensor running =
          warmup ? numbers({5.990675287159284, -0.6703390701709561}, dtype) : numbers({5.94168, -0.61664}, dtype);
      const double tolerance = dtype == DType::f64 ? 1e-14 : 2e-6;
      EXPECT_LT(max_abs_difference(ema.average(entries[0]), weight), tolerance);
      EXPECT_LT(max_abs_difference(ema.average(entries[1]), running), tolerance);
    }
  }
}

TEST(Ema, SwapsTheModelsValuesThereAndBack) {
  Model model{nn::Param(numbers({1, 2, 3}, DType::f32)), nn::Buffer(numbers({4, 5}, DType::f32))};
  const auto entries = nn::collect(model);
  ParamStore store(entries);
  Ema ema(store, entries, 0.9, false);
  model.weight.value().fill(8);
  model.running.value().fill(9);
  const std::uint64_t version = model.weight.value().version();
  {
    const EmaScope averages(&ema);
    EXPECT_GT(model.weight.value().version(), version);
    EXPECT_EQ(count_different_bits(model.weight.value(), numbers({1, 2, 3}, DType::f32)), 0);
    EXPECT_EQ(count_different_bits(model.running.value(), numbers({4, 5}, DType::f32)), 0);
  }
  EXPECT_EQ(model.weight.value().at(2), 8);
  EXPECT_EQ(model.running.value().at(1), 9);
  EXPECT_EQ(ema.average(entries[0]).at(2), 3);
}

TEST(Ema, RefusesADecayThatIsNone) {
  Model model{nn::Param(numbers({1}, DType::f32)), nn::Buffer(numbers({4}, DType::f32))};
  const auto entries = nn::collect(model);
  ParamStore store(entries);
  EXPECT_EQ(tests::error_of([&] { Ema(store, entries, 1, false); }), "[ema] decay is 1, expected a number of [0, 1)");
}

}  // namespace
}  // namespace fovea::optim
