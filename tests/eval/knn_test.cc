// Against scikit-learn (tests/golden/make_probe_golden.py), and votes counted by hand.
#include "fovea/eval/knn.h"

#include <gtest/gtest.h>

#include <cmath>

#include "../support/error_of.h"
#include "fovea/tensor/factory.h"
#include "fovea/testing/golden.h"

namespace fovea::eval {
namespace {

using tests::error_of;
using Labels = std::vector<std::int64_t>;

Labels labels_of(const Tensor& t) {
  Labels labels;
  for (std::int64_t i = 0; i < t.numel(); ++i) labels.push_back(static_cast<std::int64_t>(t.at(i)));
  return labels;
}

// Scored against its answers, a classifier that gives them is right every time.
TEST(Knn, EqualsScikitLearns) {
  const testing::Golden golden(FOVEA_SOURCE_DIR "/tests/golden/probe.safetensors");
  const Tensor known = golden["features"].to(DType::f32), queries = golden["queries"].to(DType::f32);
  const Labels labels = labels_of(golden["labels"]);
  for (const std::int64_t k : {1, 5, 20}) {
    const std::vector<std::int64_t> ks{k};
    const Labels weighted = labels_of(golden[concat("knn.", k, ".weighted")]);
    const Labels majority = labels_of(golden[concat("knn.", k, ".majority")]);
    EXPECT_EQ(knn_scores(known, labels, queries, weighted, 4, ks).front().weighted.top1, 100) << k;
    EXPECT_EQ(knn_scores(known, labels, queries, majority, 4, ks).front().majority.top1, 100) << k;
  }
}

TEST(Knn, WeighsNearNeighboursMore) {
  // One of class 1 at cosine 1, two of class 0 at cosine 0.8; lengths do not count.
  const Tensor known = from_values<float>({3, 2}, {5, 0, 0.8f, 0.6f, 8, -6});
  const Tensor query = from_values<float>({1, 2}, {0.1f, 0});
  const std::vector<std::int64_t> ks{1, 3};
  const auto scores = knn_scores(known, Labels{1, 0, 0}, query, Labels{1}, 3, ks);
  ASSERT_EQ(scores.size(), 2u);
  EXPECT_EQ(scores[0].k, 1);
  EXPECT_EQ(scores[0].majority.top1, 100);
  EXPECT_EQ(scores[1].weighted.top1, 100);  // exp(1 / 0.07) is 17 times exp(0.8 / 0.07)
  EXPECT_EQ(scores[1].majority.top1, 0);
  EXPECT_EQ(scores[1].majority.top5, 100);
  EXPECT_EQ(knn_scores(known, Labels{1, 0, 0}, query, Labels{1}, 3, ks, 1).back().weighted.top1, 0);
}

TEST(Knn, RefusesWhatDoesNotFit) {
  const Tensor x = ones({2, 2});
  const std::vector<std::int64_t> none{}, three{3}, one{1};
  EXPECT_TRUE(knn_scores(x, Labels{0, 0}, x, Labels{0, 0}, 1, none).empty());
  EXPECT_NE(error_of([&] {
              knn_scores(x, Labels{0, 0}, x, Labels{0, 0}, 1, three);
            }).find("k is 3, expected 1 to 2"),
            std::string::npos);
  EXPECT_NE(error_of([&] {
              knn_scores(x, Labels{0}, x, Labels{0, 0}, 1, one);
            }).find("with 1 labels"),
            std::string::npos);
  EXPECT_NE(error_of([&] {
              knn_scores(x, Labels{0, 4}, x, Labels{0, 0}, 1, one);
            }).find("a label is 4"),
            std::string::npos);
  EXPECT_NE(error_of([&] {
              knn_scores(x, Labels{0, 0}, x, Labels{0, 0}, 1, one, 0);
            }).find("temperature is 0"),
            std::string::npos);
}

}  // namespace
}  // namespace fovea::eval
