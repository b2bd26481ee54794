// Dropout: gradients, rates, and which elements go, on every instruction set.
#include "fovea/ops/dropout.h"

#include <gtest/gtest.h>

#include "accumulation.h"

namespace fovea {
namespace {

const RngKey key = RngKey{42}.derive("dropout_test");

PackedLayout three_sequences() {
  PackedLayout layout = PackedLayout::from_lengths(std::vector<std::int64_t>{3, 0, 5});
  layout.sample_ids = from_values<std::int64_t>({3}, {100, 7, 13});
  return layout;
}

void expect_op(testing::VarFunction f, const Shape& shape) {
  const std::vector<Tensor> inputs = testing::normal_inputs({shape});
  const auto result = testing::check_op(f, inputs);
  EXPECT_TRUE(result) << to_string(shape) << ": " << result.message;
  EXPECT_EQ(testing::accumulation_failure(f, inputs), "") << to_string(shape);
}

TEST(Dropout, MatchesNumericGradientsAtEveryTail) {
  const PackedLayout layout = three_sequences();
  for (std::int64_t d = 1; d <= 33; ++d) {
    expect_op([&](std::span<const Var> in) { return ops::dropout(in[0], 0.3, key, true); }, {d});
    expect_op([&](std::span<const Var> in) { return ops::dropout(in[0], 0.3, key, layout); }, {8, d});
  }
  expect_op([&](std::span<const Var> in) { return ops::drop_path(in[0], 0.5, key, layout); }, {8, 5});
  expect_op([&](std::span<const Var> in) { return ops::drop_path(in[0], 0.5, key, arange(6)); }, {6, 2, 3});
}

// Element i is dropped exactly when word i % 4 of philox(key, i / 4), as a uniform number, is below p.
TEST(Dropout, DrawsTheWordsOfItsKey) {
  const std::int64_t n = 20001;
  for (const double p : {0.1, 0.5, 0.999}) {
    testing::for_each_isa([&](const std::string& isa) {
      const Tensor y = ops::dropout(ones({n}), p, key, true).value();
      std::int64_t wrong = 0;
      for (std::int64_t i = 0; i < n; ++i) {
        const bool kept = uniform_from_bits(philox(key, static_cast<std::uint64_t>(i / 4))[i % 4]) >= p;
        wrong += y.at(i) != (kept ? static_cast<double>(static_cast<float>(1 / (1 - p))) : 0);
      }
      EXPECT_EQ(wrong, 0) << isa << ", p " << p;
    });
  }
}

TEST(Dropout, KeepsTheMean) {
  const std::int64_t n = 100000;
  for (const double p : {0.1, 0.5, 0.9}) {
    const double mean = sum(ops::dropout(ones({n}), p, key, true).value()) / static_cast<double>(n);
    EXPECT_NEAR(mean, 1, 5 * std::sqrt(p / (1 - p) / static_cast<double>(n))) << p;
  }
}

TEST(Dropout, MicroBatchesDropTheSameElements) {
  const PackedLayout layout = three_sequences();
  const Tensor x = random_normal({8, 6}, RngKey{1});
  const Tensor whole = ops::dropout(x, 0.5, key, layout).value();
  PackedLayout last = PackedLayout::from_lengths(std::vector<std::int64_t>{5});
  last.sample_ids = from_values<std::int64_t>({1}, {13});
  const Tensor part = ops::dropout(x.rows(3, 8), 0.5, key, last).value();
  EXPECT_EQ(count_different_bits(part, whole.rows(3, 8)), 0);
  last.sample_ids = from_values<std::int64_t>({1}, {14});
  EXPECT_NE(count_different_bits(ops::dropout(x.rows(3, 8), 0.5, key, last).value(), whole.rows(3, 8)), 0);
}

TEST(Dropout, PathDropsWholeSamples) {
  const std::int64_t n = 4000;
  const Tensor y = ops::drop_path(ones({n, 3}), 0.25, key, arange(n)).value();
  std::int64_t dropped = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    EXPECT_EQ(y.at(3 * i), y.at(3 * i + 1));
    EXPECT_EQ(y.at(3 * i), y.at(3 * i + 2));
    EXPECT_TRUE(y.at(3 * i) == 0 || std::abs(y.at(3 * i) - 4.0 / 3) < 1e-6);
    dropped += y.at(3 * i) == 0;
  }
  EXPECT_NEAR(static_cast<double>(dropped) / static_cast<double>(n), 0.25, 0.04);
}

TEST(Dropout, PathOfPackedTokensGoesByTheirSample) {
  PackedLayout layout = PackedLayout::uniform(50, 2);
  const Tensor packed = ops::drop_path(ones({100, 1}), 0.5, key, layout).value();
  const Tensor batch = ops::drop_path(ones({50, 2}), 0.5, key, layout.sample_ids).value();
  EXPECT_EQ(count_different_bits(packed.reshape({50, 2}), batch), 0);
  EXPECT_GT(sum(batch), 0);
  EXPECT_LT(sum(batch), 200);
}

TEST(Dropout, IsTheIdentityOutsideTrainingAndAtZero) {
  const Var x(ones({4}), true);
  EXPECT_EQ(ops::dropout(x, 0.5, key, false).node(), x.node());
  EXPECT_EQ(ops::dropout(x, 0, key, true).node(), x.node());
  EXPECT_EQ(ops::drop_path(x, 0.5, key, arange(4), false).node(), x.node());
}

TEST(Dropout, EmptyInput) {
  EXPECT_EQ(ops::dropout(Tensor({0, 3}), 0.5, key, true).shape(), (Shape{0, 3}));
  EXPECT_EQ(ops::dropout(Tensor({0, 3}), 0.5, key, PackedLayout::uniform(0, 4)).shape(), (Shape{0, 3}));
  EXPECT_EQ(ops::drop_path(Tensor({0, 3}), 0.5, key, arange(0)).shape(), (Shape{0, 3}));
}

TEST(Dropout, Errors) {
  const Var x(ones({4, 2}));
  for (const double p : {-0.1, 1.0, std::nan("")}) {
    EXPECT_THROW(ops::dropout(x, p, key, false), Error) << p;
    EXPECT_THROW(ops::drop_path(x, p, key, arange(4)), Error) << p;
  }
  EXPECT_THROW(ops::dropout(x, 0.5, key, PackedLayout::uniform(1, 3)), Error);
  EXPECT_THROW(ops::dropout(x, 0.5, key, PackedLayout()), Error);
  EXPECT_THROW(ops::drop_path(x, 0.5, key, arange(3)), Error);
  PackedLayout layout = PackedLayout::uniform(2, 2);
  layout.sample_ids = arange(1);
  EXPECT_THROW(ops::dropout(x, 0.5, key, layout), Error);
}

}  // namespace
}  // namespace fovea
