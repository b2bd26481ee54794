// Examples agree with the scores, and are chosen without looking at success.
#include "fovea/eval/retrieval_examples.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "fovea/core/rng.h"
#include "fovea/tensor/factory.h"

namespace fovea::eval {
namespace {

constexpr std::int64_t images = 40, width = 6;

Tensor unit_rows(std::int64_t rows, std::uint64_t seed) {
  Rng rng(RngKey{seed});
  Tensor x({rows, width});
  for (std::int64_t r = 0; r < rows; ++r) {
    float* row = x.mutable_data<float>() + r * width;
    double squared = 0;
    for (std::int64_t i = 0; i < width; ++i) squared += std::pow(row[i] = static_cast<float>(rng.normal()), 2);
    for (std::int64_t i = 0; i < width; ++i) row[i] /= static_cast<float>(std::sqrt(squared));
  }
  return x;
}

// Every caption belongs to two pictures.
EmbeddedPairs make_pairs(std::uint64_t seed = 1) {
  EmbeddedPairs pairs;
  pairs.images = unit_rows(images, seed);
  pairs.texts = unit_rows(images / 2, seed + 1);
  for (std::int64_t i = 0; i < images; ++i) {
    pairs.paths.push_back(concat("folder/", i, ".png"));
    pairs.matches.push_back({i, i / 2});
    if (i % 2 == 0) pairs.captions.push_back(concat("caption ", i / 2));
  }
  return pairs;
}

double cosine(const Tensor& a, std::int64_t i, const Tensor& b, std::int64_t j) {
  double sum = 0;
  for (std::int64_t k = 0; k < width; ++k) sum += a.at(i * width + k) * b.at(j * width + k);
  return sum;
}

TEST(RetrievalExamples, AnswersAreTheMostSimilar) {
  const EmbeddedPairs pairs = make_pairs();
  const RetrievalExamples examples = retrieval_examples(pairs, {7, 5, 4});
  ASSERT_EQ(examples.t2i.size(), 7u);
  for (const auto& query : examples.t2i) {
    std::vector<std::pair<double, std::int64_t>> all;
    for (std::int64_t i = 0; i < images; ++i) all.push_back({-cosine(pairs.texts, query.index, pairs.images, i), i});
    std::sort(all.begin(), all.end());
    ASSERT_EQ(query.answers.size(), 5u);
    for (std::size_t a = 0; a < 5; ++a) {
      EXPECT_EQ(query.answers[a].index, all[a].second);
      EXPECT_NEAR(query.answers[a].score, -all[a].first, 1e-6);
      EXPECT_EQ(query.answers[a].right, all[a].second / 2 == query.index);
    }
    const auto first = std::find_if(all.begin(), all.end(), [&](auto& hit) { return hit.second / 2 == query.index; });
    EXPECT_EQ(query.best_rank, first - all.begin() + 1);
  }
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t j = 0; j < 4; ++j) {
      EXPECT_NEAR(examples.similarity[i * 4 + j],
                  cosine(pairs.texts, examples.pairs[i].text, pairs.images, examples.pairs[j].image), 1e-6);
    }
  }
}

TEST(RetrievalExamples, OfAllQueriesGiveTheRecallOfTheScores) {
  const EmbeddedPairs pairs = make_pairs();
  const Retrieval scores = retrieval(pairs.images, pairs.texts, pairs.matches);
  const RetrievalExamples examples = retrieval_examples(pairs, {1000, 5, 24});
  const auto percent = [](const std::vector<RetrievalExamples::Query>& queries, std::int64_t k) {
    const auto found = std::count_if(queries.begin(), queries.end(), [k](auto& query) { return query.best_rank <= k; });
    return 100 * static_cast<double>(found) / static_cast<double>(queries.size());
  };
  EXPECT_EQ(examples.i2t.size(), 40u);
  EXPECT_EQ(examples.t2i.size(), 20u);
  EXPECT_DOUBLE_EQ(percent(examples.i2t, 1), scores.i2t.r1);
  EXPECT_DOUBLE_EQ(percent(examples.t2i, 5), scores.t2i.r5);
  EXPECT_DOUBLE_EQ(percent(examples.i2t, 10), scores.i2t.r10);
}

TEST(RetrievalExamples, AreChosenByNameAlone) {
  const EmbeddedPairs pairs = make_pairs(1);
  EmbeddedPairs elsewhere = make_pairs(9);  // another model, another folder
  for (std::string& path : elsewhere.paths) path = "/moved/" + path;
  const RetrievalExamples a = retrieval_examples(pairs), b = retrieval_examples(elsewhere);
  const auto chosen = [](const std::vector<RetrievalExamples::Query>& queries) {
    std::vector<std::int64_t> indices;
    for (const auto& query : queries) indices.push_back(query.index);
    return indices;
  };
  EXPECT_EQ(chosen(a.t2i), chosen(b.t2i));
  EXPECT_EQ(chosen(a.i2t), chosen(b.i2t));
  EXPECT_EQ(a.pairs, b.pairs);
  EXPECT_EQ(a.t2i.size(), 12u);
  const std::vector<std::int64_t> order = chosen(a.i2t);
  EXPECT_FALSE(std::is_sorted(order.begin(), order.end()));
  std::set<std::int64_t> texts;
  for (const Match& pair : a.pairs) {
    EXPECT_EQ(pair.image / 2, pair.text);
    EXPECT_TRUE(texts.insert(pair.text).second);
  }
}

TEST(RetrievalExamples, ModelThatGivesNoNumbersHasNoSuccess) {
  EmbeddedPairs pairs = make_pairs();
  pairs.images.fill(NAN);
  for (const auto& query : retrieval_examples(pairs).t2i) EXPECT_EQ(query.best_rank, images);
}

}  // namespace
}  // namespace fovea::eval
