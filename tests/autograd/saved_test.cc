// What is kept for backward: as recipes, as bf16, and how much it is.
#include "fovea/autograd/saved.h"

#include <gtest/gtest.h>

#include <cmath>

#include "../support/error_of.h"
#include "fovea/autograd/backward.h"
#include "fovea/autograd/checkpoint.h"
#include "fovea/core/allocator.h"
#include "fovea/core/cpu.h"
#include "fovea/ops/activation.h"
#include "fovea/ops/dropout.h"
#include "fovea/ops/elementwise.h"
#include "fovea/ops/layer_norm.h"
#include "fovea/ops/linear.h"
#include "fovea/ops/reduce.h"
#include "fovea/ops/rms_norm.h"
#include "fovea/ops/shape.h"
#include "fovea/tensor/factory.h"
#include "fovea/tensor/reduce.h"

namespace fovea {
namespace {

// x itself, without its recipe: who saves it keeps the elements.
Var without_recipe(const Var& x) {
  return record("same", x.value(), {x}, [](const Tensor& dy, Grads& g) { g.add(0, dy); });
}

constexpr std::int64_t rows = 67, width = 45, hidden = 83;

struct Weights {
  Var gain, bias, up, up_bias, down;

  Weights()
      : gain(random_normal({width}, RngKey{1}, 1, 0.2), true),
        bias(random_normal({width}, RngKey{2}), true),
        up(random_normal({hidden, width}, RngKey{3}, 0, 0.2), true),
        up_bias(random_normal({hidden}, RngKey{4}), true),
        down(random_normal({width, hidden}, RngKey{5}, 0, 0.2), true) {}

  std::vector<Tensor> gradients() const { return {gain.grad(), bias.grad(), up.grad(), up_bias.grad(), down.grad()}; }
};

// A norm and a feed-forward block with dropout, after a product so that its input is an activation too; another norm
// and activation. `seen` is applied to everything that has a recipe.
template <class Seen>
std::vector<Tensor> gradients(Activation kind, const Seen& seen) {
  const Weights w;
  const Var x(random_normal({rows, width}, RngKey{6}), true);
  const Var start = ops::mul(x, x);
  const Var norm = seen(ops::layer_norm(start, w.gain, w.bias, 1e-5));
  const Var up = seen(ops::linear(norm, w.up, w.up_bias, kind));
  const Var y = ops::linear(seen(ops::dropout(up, 0.3, RngKey{7}, true)), w.down, {}, Activation::none, start);
  const Var flat =
      seen(ops::reshape(seen(ops::activate(seen(ops::rms_norm(y, w.gain, 1e-5)), kind)), {1, rows, width}));
  const Var z = ops::linear(flat, w.up);
  backward(ops::sum(ops::mul(z, z)));
  std::vector<Tensor> all = w.gradients();
  all.push_back(x.grad());
  return all;
}

TEST(SavedActivation, RecipesGiveTheSameBitsOnEveryInstructionSet) {
  const cpu::Isa active = cpu::active_isa();
  for (const cpu::Isa isa : cpu::available_isas()) {
    cpu::set_max_isa(isa);
    for (const auto kind :
         {Activation::relu, Activation::gelu, Activation::gelu_tanh, Activation::quick_gelu, Activation::silu}) {
      const auto kept = gradients(kind, without_recipe);
      const auto remade = gradients(kind, [](const Var& x) {
        EXPECT_TRUE(x.has_recipe());
        return x;
      });
      for (std::size_t i = 0; i < kept.size(); ++i) {
        EXPECT_EQ(count_different_bits(remade[i], kept[i]), 0) << cpu::to_string(isa) << " " << i;
      }
    }
  }
  cpu::set_max_isa(active);
}

TEST(SavedActivation, ARecipeTakesNoMemory) {
  const Var x(random_normal({256, 64}, RngKey{1}), true), w(random_normal({64, 64}, RngKey{2}), true);
  const auto kept = [&](bool with_recipe) {
    const std::int64_t before = allocator::stats().live_bytes;
    Var y = ops::relu(x);
    if (!with_recipe) y = without_recipe(y);
    y = ops::sum(ops::linear(y, w));
    return allocator::stats().live_bytes - before;
  };
  EXPECT_LE(kept(true), 4096);
  EXPECT_GE(kept(false), 256 * 64 * 4);
}

// Making all of a long chain again from its start would take time that grows with the square of its length.
TEST(SavedActivation, RecipesInsideRecipesAreFew) {
  Var x(random_normal({8}, RngKey{1}), true);
  int longest = 0, depth = 0;
  for (int i = 0; i < 100; ++i) {
    x = ops::relu(x);
    depth = x.has_recipe() ? depth + 1 : 0;
    longest = std::max(longest, depth);
  }
  EXPECT_EQ(longest, 3);
  backward(ops::sum(x));
}

TEST(SavedActivation, NoticesThatWhatItIsMadeFromChanged) {
  Var x(random_normal({4, 8}, RngKey{1}), true);
  const Var w(random_normal({3, 8}, RngKey{2}), true);
  const Var y = ops::sum(ops::linear(ops::relu(x), w));
  Tensor values = x.value();
  values.fill(1);
  EXPECT_NE(tests::error_of([&] { backward(y); }).find("was changed in place"), std::string::npos);
}

double relative_error(const Tensor& a, const Tensor& b) {
  double difference = 0, size = 0;
  for (std::int64_t i = 0; i < a.numel(); ++i) {
    difference += (a.at(i) - b.at(i)) * (a.at(i) - b.at(i));
    size += b.at(i) * b.at(i);
  }
  return std::sqrt(difference / size);
}

// bf16 has eight bits of mantissa: a value is off by at most 2^-9 of it.
TEST(SaveInBf16, GradientsAreCloseToThoseOfF32) {
  const auto same = [](const Var& x) { return x; };
  const auto exact = gradients(Activation::gelu, same);
  const SaveInBf16 rounding;
  const auto rounded = gradients(Activation::gelu, same);
  for (std::size_t i = 0; i < exact.size(); ++i) {
    EXPECT_LE(relative_error(rounded[i], exact[i]), 0x1p-8) << i;
    EXPECT_GT(relative_error(rounded[i], exact[i]), 0) << i;
  }
}

TEST(SaveInBf16, HalvesWhatIsKept) {
  const Var x(random_normal({256, 64}, RngKey{1}), true), w(random_normal({64, 64}, RngKey{2}), true);
  const auto kept = [&](bool on) {
    const SaveInBf16 rounding(on);
    const std::int64_t before = allocator::stats().live_bytes;
    const Var product = ops::mul(x, 2);
    const Var y = ops::add(ops::sum(ops::linear(product, w)), ops::sum(ops::square(ops::linear(product, w))));
    return allocator::stats().live_bytes - before - product.value().bytes();
  };
  // Both products keep one copy of their input; the square, which is no activation, keeps its own as it is.
  EXPECT_NEAR(static_cast<double>(kept(true) - kept(false)), 256 * 64 * 2, 4096);
}

TEST(SaveInBf16, LeavesAndSmallAndDoubleValuesAreKeptAsTheyAre) {
  const SaveInBf16 rounding;
  const Var leaf(random_normal({64, 64}, RngKey{1}), true);
  EXPECT_TRUE(SavedActivation(leaf).restore().shares_storage(leaf.value()));
  const Var small = ops::mul(Var(random_normal({8}, RngKey{1}), true), 2);
  EXPECT_TRUE(SavedActivation(small).restore().shares_storage(small.value()));
  const Var wide = ops::mul(Var(random_normal({64, 64}, RngKey{1}, 0, 1, DType::f64), true), 2);
  EXPECT_TRUE(SavedActivation(wide).restore().shares_storage(wide.value()));
  const Var rounded = ops::mul(leaf, 2);
  const Tensor restored = SavedActivation(rounded).restore();
  for (std::int64_t i = 0; i < restored.numel(); ++i) {
    ASSERT_EQ(restored.at(i),
              static_cast<double>(static_cast<float>(bfloat16(static_cast<float>(rounded.value().at(i))))));
  }
}

}  // namespace
}  // namespace fovea
