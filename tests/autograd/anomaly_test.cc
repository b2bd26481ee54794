#include "fovea/autograd/anomaly.h"

#include <gtest/gtest.h>

#include <cmath>

#include "fovea/autograd/backward.h"
#include "fovea/autograd/no_grad.h"
#include "fovea/ops/elementwise.h"
#include "fovea/ops/reduce.h"
#include "fovea/tensor/factory.h"

namespace fovea {
namespace {

template <class F>
Anomaly anomaly_of(const Var& leaf, F&& compute) {
  try {
    const DetectAnomaly checks({{leaf.node().get(), "tower.fc.weight"}});
    compute();
  } catch (const AnomalyError& error) {
    return error.anomaly();
  }
  ADD_FAILURE() << "nothing was found";
  return {};
}

TEST(DetectAnomalyTest, NamesTheOperationAndItsParameter) {
  const Var w(from_values<double>({4}, {1, 2, 0, 3}), true);
  const Anomaly found = anomaly_of(w, [&] { ops::log(ops::mul(w, 1.0)); });
  EXPECT_EQ(found.op, "log");
  EXPECT_EQ(found.element, 2);
  EXPECT_EQ(found.parameter, "");
  EXPECT_EQ(found.previous, "tower.fc.weight");
  EXPECT_FALSE(found.in_backward);
  EXPECT_EQ(to_string(found),
            "[anomaly] [log] after the operation with tower.fc.weight gives -inf at element 2 of (4,)");
  EXPECT_EQ(to_string(anomaly_of(w, [&] { ops::log(w); })),
            "[anomaly] [log] with tower.fc.weight gives -inf at element 2 of (4,)");
}

TEST(DetectAnomalyTest, FindsWhatOnlyTheBackwardPassMakes) {
  const Var w(from_values<double>({2}, {1, 0}), true);
  const Anomaly found = anomaly_of(w, [&] { backward(ops::sum(ops::sqrt(w))); });
  EXPECT_EQ(found.op, "sqrt");
  EXPECT_TRUE(found.in_backward);
  EXPECT_TRUE(found.of_parameter);
  EXPECT_EQ(found.element, 1);
  EXPECT_EQ(to_string(found),
            "[anomaly] the backward pass of [sqrt] with tower.fc.weight gives inf at element 1 of (2,)");
}

TEST(DetectAnomalyTest, SaysWhenTheInputWasNotFiniteAlready) {
  const Var w(from_values<double>({2}, {1, std::nan("")}), true), x(from_values<double>({2}, {INFINITY, 1}));
  EXPECT_EQ(anomaly_of(w, [&] { ops::mul(w, 2.0); }).cause, "tower.fc.weight is not finite already");
  EXPECT_EQ(anomaly_of(w, [&] { ops::mul(x, 2.0); }).cause, "its input is not finite already");
}

TEST(DetectAnomalyTest, ChecksWithoutATapeAndOnlyWhileItLives) {
  const Var w(from_values<double>({1}, {0}), true);
  anomaly_of(w, [&] {
    const NoGrad no_tape;
    ops::log(w);
  });
  EXPECT_NO_THROW(ops::log(w));
}

}  // namespace
}  // namespace fovea
