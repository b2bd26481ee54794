#include "fovea/nn/embedding.h"

#include <gtest/gtest.h>

#include "module_check.h"

namespace fovea::nn {
namespace {

TEST(Embedding, GradientOfTheTableWithRepeatedAndUnusedIds) {
  Init init(1, DType::f64);
  Embedding table(5, 3, 1, init);
  const Tensor ids = from_values<std::int32_t>({4}, {4, 0, 4, 2});
  const auto result = testing::check_module(table, {}, [&](std::span<const Var>) { return table(ids, Ctx{}); });
  EXPECT_TRUE(result) << result.message;
}

TEST(Embedding, IdsOfAnyShapeTakeRows) {
  Init init(1);
  const Embedding table(5, 3, 1, init);
  const Var y = table(from_values<std::int32_t>({2, 1}, {3, 1}), Ctx{});
  EXPECT_EQ(y.shape(), (Shape{2, 1, 3}));
  for (std::int64_t i = 0; i < 3; ++i) {
    EXPECT_EQ(y.value().at(i), table.weight.value().at(9 + i));
    EXPECT_EQ(y.value().at(3 + i), table.weight.value().at(3 + i));
  }
}

TEST(Embedding, RefusesIdsOutsideTheTable) {
  Init init(1);
  const Embedding table(5, 3, 1, init);
  EXPECT_THROW(table(from_values<std::int32_t>({1}, {5}), Ctx{}), Error);
  EXPECT_THROW(table(from_values<std::int32_t>({1}, {-1}), Ctx{}), Error);
}

TEST(Embedding, DecaysUnlessToldOtherwise) {
  Init init(1);
  EXPECT_TRUE(Embedding(5, 3, 1, init).weight.leaf()->decay);
  EXPECT_FALSE(Embedding(5, 3, 1, init, false).weight.leaf()->decay);
}

}  // namespace
}  // namespace fovea::nn
