#include "fovea/objectives/bag_of_words.h"

#include <gtest/gtest.h>

#include <cmath>

#include "../support/error_of.h"
#include "fovea/tensor/factory.h"
#include "fovea/testing/gradcheck.h"

namespace fovea::objectives {
namespace {

const std::vector<std::int64_t> lengths{2, 0, 3};

Tensor tokens() { return from_values<std::int32_t>({5}, {1, 3, 0, 0, 4}); }

// Of three pictures and five words in three dimensions, by the formula word by word.
TEST(BagOfWords, IsTheMeanOfTheWordsLosses) {
  const Tensor image = random_normal({3, 3}, RngKey{1}, 0, 1, DType::f64);
  const Tensor words = random_normal({5, 3}, RngKey{2}, 0, 1, DType::f64);
  const auto logit = [&](int b, int v) {
    double sum = 0;
    for (int e = 0; e < 3; ++e) sum += image.at(3 * b + e) * words.at(3 * v + e);
    return sum;
  };
  const auto word_loss = [&](int b, int v) {
    double total = 0;
    for (int k = 0; k < 5; ++k) total += std::exp(logit(b, k));
    return std::log(total) - logit(b, v);
  };
  const double first = (word_loss(0, 1) + word_loss(0, 3)) / 2;
  const double third = (2 * word_loss(2, 0) + word_loss(2, 4)) / 3;
  const Loss loss = BagOfWords{}(image, words, tokens(), PackedLayout::from_lengths(lengths));
  EXPECT_NEAR(loss.total.item(), (first + third) / 2, 1e-12);  // the caption without words does not count
}

TEST(BagOfWords, Gradients) {
  const auto result = testing::gradcheck(
      [](std::span<const Var> in) {
        return BagOfWords{}(in[0], in[1], tokens(), PackedLayout::from_lengths(lengths)).total;
      },
      testing::normal_inputs({{3, 4}, {5, 4}}));
  EXPECT_TRUE(result) << result.message;
}

TEST(BagOfWords, NoWordsAtAll) {
  const std::vector<std::int64_t> none{0, 0};
  const Loss loss = BagOfWords{}(ones({2, 3}), ones({5, 3}), Tensor({0}, DType::i32), PackedLayout::from_lengths(none));
  EXPECT_EQ(loss.total.item(), 0);
}

TEST(BagOfWords, RefusesWhatDoesNotFit) {
  const auto layout = PackedLayout::from_lengths(lengths);
  EXPECT_NE(tests::error_of([&] {
              BagOfWords{}(ones({2, 3}), ones({5, 3}), tokens(), layout);
            }).find("2 images and 3"),
            std::string::npos);
  EXPECT_NE(tests::error_of([&] {
              BagOfWords{}(ones({3, 3}), ones({4, 3}), tokens(), layout);
            }).find("token 4 of 4"),
            std::string::npos);
}

}  // namespace
}  // namespace fovea::objectives
