// Embeddings against numeric gradients, a plain sum, and their own errors.
#include "fovea/ops/embedding.h"

#include <gtest/gtest.h>

#include "accumulation.h"

namespace fovea {
namespace {

TEST(Embedding, MatchesNumericGradients) {
  const Tensor ids = from_values<std::int64_t>({2, 3}, {4, 0, 4, 2, 4, 0});  // 1 and 3 are not used
  for (std::int64_t d = 1; d <= 33; ++d) {
    const auto f = [&](std::span<const Var> in) { return ops::embedding(in[0], ids); };
    const std::vector<Tensor> inputs = testing::normal_inputs({{5, d}});
    const auto result = testing::check_op(f, inputs);
    EXPECT_TRUE(result) << d << ": " << result.message;
    EXPECT_EQ(testing::accumulation_failure(f, inputs), "") << d;
  }
}

TEST(Embedding, TakesTheRowsOfTheIds) {
  const Tensor table = from_values<double>({3, 2}, {0, 1, 10, 11, 20, 21});
  const Tensor expected = from_values<double>({4, 1, 2}, {20, 21, 0, 1, 20, 21, 10, 11});
  const Tensor wide = from_values<std::int64_t>({4, 1}, {2, 0, 2, 1});
  for (const Tensor& ids : {wide, wide.to(DType::i32)}) {
    const Tensor y = ops::embedding(table, ids).value();
    EXPECT_EQ(y.shape(), (Shape{4, 1, 2}));
    EXPECT_EQ(max_abs_difference(y, expected), 0);
  }
}

TEST(Embedding, GradientBitsDoNotDependOnThreads) {
  const int before = num_threads();
  std::vector<std::int64_t> ids;
  Rng rng(7);
  for (int i = 0; i < 5000; ++i) ids.push_back(rng.below(300));
  const Tensor dy = random_normal({5000, 20}, RngKey{1});
  Tensor gradients[2];
  for (int run = 0; run < 2; ++run) {
    set_num_threads(run == 0 ? 1 : 4);
    const Var table(Tensor({300, 20}), true);
    backward(ops::embedding(table, from_values<std::int64_t>({5000}, ids)), dy);
    gradients[run] = table.grad();
  }
  set_num_threads(before);
  EXPECT_EQ(count_different_bits(gradients[0], gradients[1]), 0);
}

TEST(Embedding, EmptyIds) {
  const Var table(ones({3, 2}), true);
  const Var y = ops::embedding(table, Tensor({0}, DType::i64));
  EXPECT_EQ(y.shape(), (Shape{0, 2}));
  backward(y, Tensor({0, 2}));
  EXPECT_EQ(max_abs(table.grad()), 0);
  EXPECT_EQ(ops::embedding(Tensor({3, 0}), from_values<std::int64_t>({1}, {2})).shape(), (Shape{1, 0}));
}

TEST(Embedding, NamesPositionAndIdOutOfRange) {
  for (const std::int64_t bad : {-1, 3}) {
    try {
      ops::embedding(ones({3, 2}), from_values<std::int64_t>({2, 2}, {0, 1, bad, 2}));
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()),
                concat("[embedding] id ", bad, " at position 2 of (2, 2) is outside the table of 3 entries\n",
                       "hint: the tokenizer's vocabulary is not the model's"));
    }
  }
  EXPECT_THROW(ops::embedding(ones({3, 2}), ones({2})), Error);
  EXPECT_THROW(ops::embedding(ones({3}), Tensor({0}, DType::i64)), Error);
}

}  // namespace
}  // namespace fovea
