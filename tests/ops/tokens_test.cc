// Rows and means of packed sequences against numeric gradients, plain numbers, and their own errors.
#include "fovea/ops/tokens.h"

#include <gtest/gtest.h>

#include "accumulation.h"

namespace fovea {
namespace {

const std::int64_t lengths[] = {3, 0, 1, 7};

TEST(Tokens, MatchNumericGradients) {
  const PackedLayout layout = PackedLayout::from_lengths(lengths);
  const Tensor rows = from_values<std::int64_t>({4}, {10, 2, 2, 0});
  for (std::int64_t d = 1; d <= 33; ++d) {
    const auto mean = [&](std::span<const Var> in) { return ops::segment_mean(in[0], layout); };
    const auto gather = [&](std::span<const Var> in) { return ops::gather_rows(in[0], rows); };
    const std::vector<Tensor> inputs = testing::normal_inputs({{11, d}});
    const auto mean_result = testing::check_op(mean, inputs), gather_result = testing::check_op(gather, inputs);
    EXPECT_TRUE(mean_result) << d << ": " << mean_result.message;
    EXPECT_TRUE(gather_result) << d << ": " << gather_result.message;
    EXPECT_EQ(testing::accumulation_failure(mean, inputs), "") << d;
    EXPECT_EQ(testing::accumulation_failure(gather, inputs), "") << d;
  }
}

TEST(Tokens, MeanOfEachSequence) {
  const PackedLayout layout = PackedLayout::from_lengths(std::vector<std::int64_t>{2, 0, 1});
  const Tensor x = from_values<float>({3, 2}, {1, 2, 3, 6, 5, 5});
  const Tensor y = ops::segment_mean(x, layout).value();
  EXPECT_EQ(max_abs_difference(y, from_values<float>({3, 2}, {2, 4, 0, 0, 5, 5})), 0);
}

TEST(Tokens, GatherTakesRows) {
  const Tensor x = from_values<float>({3, 2}, {1, 2, 3, 6, 5, 4});
  const Tensor y = ops::gather_rows(x, from_values<std::int64_t>({2}, {2, 0})).value();
  EXPECT_EQ(max_abs_difference(y, from_values<float>({2, 2}, {5, 4, 1, 2})), 0);
}

TEST(Tokens, NoSequences) {
  const Var x(Tensor({0, 3}), true);
  const Var y = ops::segment_mean(x, PackedLayout::uniform(0, 5));
  EXPECT_EQ(y.shape(), (Shape{0, 3}));
  backward(y, Tensor({0, 3}));
  EXPECT_EQ(ops::gather_rows(x, Tensor({0}, DType::i64)).shape(), (Shape{0, 3}));
}

TEST(Tokens, ErrorsNameBothSides) {
  const auto error_of = [](auto&& f) -> std::string {
    try {
      f();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  const Tensor x({3, 2});
  EXPECT_EQ(error_of([&] {
              ops::gather_rows(x, from_values<std::int64_t>({2}, {0, 3}));
            }),
            "[gather_rows] row 3 at position 1 is outside the input (3, 2)");
  EXPECT_EQ(error_of([&] { ops::gather_rows(x, from_values<std::int32_t>({1}, {0})); }),
            "[gather_rows] row numbers are i32 (1,), expected i64 (R,)");
  EXPECT_EQ(error_of([&] { ops::segment_mean(x, PackedLayout::uniform(2, 2)); }),
            "[segment_mean] the layout spans rows 0 to 4, the matrix has 3");
  EXPECT_NE(error_of([&] { ops::segment_mean(x, PackedLayout()); }), "");
  PackedLayout by_hand = PackedLayout::uniform(1, 3);
  by_hand.offsets = from_values<std::int64_t>({3}, {0, 400, 3});
  EXPECT_EQ(error_of([&] { ops::segment_mean(x, by_hand); }), "[segment_mean] sequence 1 has length -397");
}

}  // namespace
}  // namespace fovea
