#include "fovea/ops/matmul.h"

#include <gtest/gtest.h>

#include "fovea/tensor/factory.h"
#include "fovea/testing/gradcheck.h"

namespace fovea {
namespace {

using testing::check_op;
using testing::normal_inputs;

TEST(Matmul, GradientsInAllTransposes) {
  for (int transposes = 0; transposes < 4; ++transposes) {
    const bool ta = transposes & 1, tb = transposes & 2;
    const auto f = [&](std::span<const Var> in) { return ops::matmul(in[0], in[1], ta, tb); };
    const Shape a = ta ? Shape{5, 3} : Shape{3, 5}, b = tb ? Shape{4, 5} : Shape{5, 4};
    const auto single = check_op(f, normal_inputs({a, b}));
    EXPECT_TRUE(single) << transposes << ": " << single.message;
    const Shape batch_a{2, 3, a[0], a[1]}, batch_b{2, 3, b[0], b[1]};
    const auto batched = check_op(f, normal_inputs({batch_a, batch_b}));
    EXPECT_TRUE(batched) << transposes << ": " << batched.message;
    const auto shared_b = check_op(f, normal_inputs({batch_a, b}));
    EXPECT_TRUE(shared_b) << transposes << ": " << shared_b.message;
    const auto shared_a = check_op(f, normal_inputs({a, batch_b}));
    EXPECT_TRUE(shared_a) << transposes << ": " << shared_a.message;
  }
}

TEST(Matmul, GradientOfAProductWithItself) {
  const auto f = [](std::span<const Var> in) { return ops::matmul(in[0], in[0], false, true); };
  const auto result = check_op(f, normal_inputs({{2, 4, 3}}));
  EXPECT_TRUE(result) << result.message;
}

TEST(Matmul, ValueOfAWorkedExample) {
  const Var a = from_values<float>({2, 2}, {1, 2, 3, 4}), b = from_values<float>({2, 2}, {5, 6, 7, 8});
  const Tensor y = ops::matmul(a, b).value();
  EXPECT_EQ(y.at(0), 19);
  EXPECT_EQ(y.at(3), 50);
  EXPECT_EQ(ops::matmul(a, b, true, false).value().at(0), 26);
}

TEST(Matmul, ShapesThatDoNotFitAreErrors) {
  EXPECT_THROW(ops::matmul(zeros({2, 3}), zeros({2, 3})), Error);
  EXPECT_THROW(ops::matmul(zeros({3}), zeros({3, 2})), Error);
  EXPECT_THROW(ops::matmul(zeros({2, 2, 3}), zeros({3, 3, 2})), Error);
  EXPECT_THROW(ops::matmul(zeros({2, 2, 2, 3}), zeros({4, 3, 2})), Error);
}

}  // namespace
}  // namespace fovea
