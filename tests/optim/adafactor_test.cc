#include "fovea/optim/adafactor.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "../support/error_of.h"
#include "fovea/autograd/backward.h"
#include "fovea/core/parallel.h"
#include "fovea/ops/elementwise.h"
#include "fovea/ops/reduce.h"
#include "fovea/tensor/factory.h"
#include "fovea/tensor/reduce.h"
#include "fovea/testing/golden.h"

namespace fovea::optim {
namespace {

struct Model {
  std::vector<nn::Param> tensors;
  static void visit(auto& self, auto&& f) { f("tensors", self.tensors); }
};

const std::vector<std::pair<const char*, Shape>> shapes{{"matrix", {40, 48}},        {"tall", {70, 33}},
                                                        {"narrow", {20, 50}},        {"vector", {48}},
                                                        {"filters", {34, 2, 2, 36}}, {"stack", {3, 32, 40}}};

Tensor formula(const Shape& shape, DType dtype, double (*value)(double t, double i), double t) {
  Tensor out(shape, DType::f64);
  for (std::int64_t i = 0; i < out.numel(); ++i) out.mutable_data<double>()[i] = value(t, static_cast<double>(i));
  return out.to(dtype);
}

Model make_model(DType dtype) {
  Model model;
  for (const auto& [name, shape] : shapes)
    model.tensors.emplace_back(formula(
        shape, dtype, [](double, double i) { return std::cos(0.37 * i); }, 0));
  return model;
}

void take_step(Adafactor& optimizer, Model& model, ParamStore& store, int t, double gradient_scale = 1) {
  store.clear_gradients();
  for (const nn::Param& param : model.tensors) {
    const Tensor gradient = formula(
        param.shape(), param.value().dtype(),
        [](double step, double i) { return std::sin(1.3 * step + 0.7 * i) * (1 + std::fmod(i, 5)); }, t);
    backward(ops::sum(param() * (gradient_scale == 1 ? Var(gradient) : ops::mul(Var(gradient), 1 / gradient_scale))));
  }
  optimizer.step(store, 1e-2 * (t + 1) / 20, gradient_scale);
}

// tests/golden/make_adafactor_golden.py restates the published formulae in NumPy. Its weight decay follows the schedule
// and not the learning rate: 0.3 over the highest learning rate.
TEST(Adafactor, TwentyStepsEqualBigVision) {
  const testing::Golden golden(FOVEA_SOURCE_DIR "/tests/golden/adafactor.safetensors");
  for (const DType dtype : {DType::f64, DType::f32}) {
    Model model = make_model(dtype);
    ParamStore store(nn::collect(model));
    Adafactor optimizer{.weight_decay = 0.3 / 1e-2};
    for (int t = 0; t < 20; ++t) take_step(optimizer, model, store, t);
    // In f32 some moments lie on the other side of a bf16 rounding, which is worth 1e-2 2^-9 a step.
    const double tolerance = dtype == DType::f64 ? 1e-12 : 1e-4;
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      EXPECT_LT(max_abs_difference(model.tensors[i].value().to(DType::f64), golden[shapes[i].first]), tolerance)
          << shapes[i].first << " " << to_string(dtype);
    }
  }
}

TEST(Adafactor, KeepsMeansOfMatricesAndAMomentInBf16) {
  Model model = make_model(DType::f32);
  ParamStore store(nn::collect(model));
  const Adafactor optimizer;
  optimizer.prepare(store);
  EXPECT_EQ(store.role("exp_avg").dtype(), DType::bf16);
  const std::vector<nn::ParamEntry> entries = nn::collect(model);
  const std::vector<std::int64_t> kept{40 + 48, 70 + 33, 20 * 50, 48, 4 * (34 + 36), 3 * (32 + 40)};
  for (std::size_t i = 0; i < entries.size(); ++i)
    EXPECT_EQ(store.role_view("factored", entries[i]).shape(), Shape{kept[i]}) << entries[i].path;
}

TEST(Adafactor, BitsDoNotDependOnThreadsAndScalesMultiplyTheGradient) {
  const int before = num_threads();
  std::vector<Tensor> results;
  for (const int threads : {1, 3}) {
    set_num_threads(threads);
    Model model{};
    model.tensors.emplace_back(formula(
        {600, 300}, DType::f32, [](double, double i) { return std::cos(0.37 * i); }, 0));
    ParamStore store(nn::collect(model));
    Adafactor optimizer;
    for (int t = 0; t < 3; ++t) take_step(optimizer, model, store, t, threads == 1 ? 1 : 0.5);
    results.push_back(model.tensors[0].value().clone());
  }
  set_num_threads(before);
  EXPECT_EQ(count_different_bits(results[0], results[1]), 0);
}

TEST(Adafactor, SettingsOutOfRangeAreErrors) {
  Model model = make_model(DType::f32);
  ParamStore store(nn::collect(model));
  EXPECT_EQ(tests::error_of([&] { Adafactor{.momentum = 1}.step(store, 0.1); }),
            "[adafactor] momentum and beta2_cap are 1 and 0.999, expected numbers of [0, 1)");
  EXPECT_THROW(Adafactor{.eps = 0}.step(store, 0.1), Error);
  EXPECT_THROW(Adafactor{.weight_decay = -1}.step(store, 0.1), Error);
  EXPECT_THROW(Adafactor{}.step(store, std::nan("")), Error);
}

}  // namespace
}  // namespace fovea::optim
