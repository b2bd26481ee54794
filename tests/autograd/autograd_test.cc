// The tape: accumulation, sharing, freeing, in-place changes, no_grad.
#include <gtest/gtest.h>

#include "fovea/autograd/backward.h"
#include "fovea/autograd/no_grad.h"
#include "fovea/autograd/saved.h"
#include "fovea/autograd/var.h"
#include "fovea/tensor/factory.h"

namespace fovea {
namespace {

// The smallest operations that exercise the engine: they write through slots and hand over shared gradients.
Var add(const Var& a, const Var& b) {
  Tensor y = a.value().clone();
  for (std::int64_t i = 0; i < y.numel(); ++i) y.mutable_data<double>()[i] += b.value().data<double>()[i];
  return record("add", y, {a, b}, [](const Tensor& dy, Grads& g) {
    if (g.wants(0)) g.add(0, dy);
    if (g.wants(1)) g.add(1, dy);
  });
}
Var mul(const Var& a, const Var& b) {
  const auto product = [](const Tensor& x, const Tensor& y, double* out, bool accumulate) {
    for (std::int64_t i = 0; i < x.numel(); ++i) {
      out[i] = (accumulate ? out[i] : 0) + x.data<double>()[i] * y.data<double>()[i];
    }
  };
  Tensor y(a.shape(), DType::f64);
  product(a.value(), b.value(), y.mutable_data<double>(), false);
  return record("mul", y, {a, b}, [=, a = Saved(a.value()), b = Saved(b.value())](const Tensor& dy, Grads& g) {
    for (int i : {0, 1}) {
      if (!g.wants(i)) continue;
      const GradSlot slot = g.into(i);
      product(i == 0 ? b : a, dy, slot.data<double>(), slot.accumulate);
    }
  });
}
Var leaf(double value) { return Var(scalar(value, DType::f64), true); }

TEST(Backward, AccumulatesOverEveryPathAndEveryCall) {
  Var x = leaf(3), y = leaf(5);
  const Var z = add(x, y);
  backward(add(mul(x, z), mul(x, x)));  // 2x^2 + xy
  EXPECT_EQ(x.grad().item(), 4 * 3 + 5);
  EXPECT_EQ(y.grad().item(), 3);
  backward(mul(x, x));
  EXPECT_EQ(x.grad().item(), 17 + 6);
  x.clear_grad();
  EXPECT_FALSE(x.grad().defined());
}

TEST(Backward, SharedGradientsAreNotMixedUp) {
  Var x = leaf(1), y = leaf(1);
  const Var sum = add(x, y);  // hands the same tensor to both
  backward(add(sum, mul(x, leaf(10))));
  EXPECT_EQ(x.grad().item(), 11);
  EXPECT_EQ(y.grad().item(), 1);
}

TEST(Backward, ASecondPassThroughAFreedTapeIsAnError) {
  Var x = leaf(2);
  const Var y = mul(x, x);
  backward(y);
  EXPECT_THROW(backward(y), Error);
}

TEST(Backward, NoticesChangesInPlace) {
  Tensor value = scalar(2, DType::f64);
  const Var x(value, true);
  const Var y = mul(x, x);
  value.mutable_data<double>()[0] = 7;
  EXPECT_THROW(backward(y), Error);
}

TEST(Backward, FreesWhatItHasPassed) {
  Var x(full({1000}, 1, DType::f64), true);
  const auto before = allocator::stats().live_bytes;
  {
    Var y = x;
    for (int i = 0; i < 10; ++i) y = mul(y, x);
    backward(y, full({1000}, 1, DType::f64));
  }
  x.clear_grad();
  EXPECT_LE(allocator::stats().live_bytes, before + 9000);  // the cleared gradient's buffer stays with the leaf
}

TEST(Backward, ALongTapeIsReleasedWithoutRecursion) {
  Var y = leaf(0);
  const Var one = leaf(1);
  for (int i = 0; i < 200000; ++i) y = add(y, one);
  y = Var();
}

TEST(NoGrad, RecordsNothing) {
  const Var x = leaf(2);
  const NoGrad guard;
  EXPECT_FALSE(mul(x, x).requires_grad());
  EXPECT_THROW(backward(mul(x, x)), Error);
}

TEST(Backward, NeedsAGradientForMoreThanOneElement) {
  const Var x(zeros({2}, DType::f64), true);
  EXPECT_THROW(backward(add(x, x)), Error);
  backward(add(x, x), full({2}, 1, DType::f64));
  EXPECT_EQ(x.grad().at(1), 2);
}

}  // namespace
}  // namespace fovea
