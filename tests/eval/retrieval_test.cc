// Recall and ranks against a plain sort, and the rules for ties, several right answers and NaN.
#include "fovea/eval/retrieval.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "fovea/core/parallel.h"
#include "fovea/core/rng.h"
#include "fovea/tensor/factory.h"

namespace fovea::eval {
namespace {

using Scores = std::vector<std::vector<double>>;  // of each query, its candidates

// Sorts the candidates of every query and looks where the first right one stands.
RetrievalScores by_sorting(const Scores& scores, const std::vector<std::set<std::int64_t>>& right) {
  std::vector<double> ranks;
  for (std::size_t q = 0; q < scores.size(); ++q) {
    if (right[q].empty()) continue;
    std::vector<std::int64_t> order(scores[q].size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
      return scores[q][static_cast<std::size_t>(a)] > scores[q][static_cast<std::size_t>(b)];
    });
    const auto first = std::find_if(order.begin(), order.end(), [&](std::int64_t c) { return right[q].contains(c); });
    ranks.push_back(static_cast<double>(first - order.begin() + 1));
  }
  std::sort(ranks.begin(), ranks.end());
  RetrievalScores result;
  const auto n = static_cast<double>(ranks.size());
  for (double rank : ranks) {
    result.r1 += rank <= 1 ? 100 / n : 0;
    result.r5 += rank <= 5 ? 100 / n : 0;
    result.r10 += rank <= 10 ? 100 / n : 0;
  }
  const double median = (ranks[(ranks.size() - 1) / 2] + ranks[ranks.size() / 2]) / 2;
  result.median_rank = static_cast<std::int64_t>(std::floor(median));
  result.queries = static_cast<std::int64_t>(ranks.size());
  result.candidates = static_cast<std::int64_t>(scores[0].size());
  return result;
}

double plain_dot(const Tensor& a, std::int64_t i, const Tensor& b, std::int64_t j) {
  double total = 0;
  for (std::int64_t e = 0; e < a.dim(1); ++e) total += a.at(i * a.dim(1) + e) * b.at(j * b.dim(1) + e);
  return total;
}

Retrieval reference(const Tensor& images, const Tensor& texts, const std::vector<Match>& matches) {
  const auto n = static_cast<std::size_t>(images.dim(0)), m = static_cast<std::size_t>(texts.dim(0));
  Scores i2t(n, std::vector<double>(m)), t2i(m, std::vector<double>(n));
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < m; ++j) {
      i2t[i][j] = t2i[j][i] = plain_dot(images, static_cast<std::int64_t>(i), texts, static_cast<std::int64_t>(j));
    }
  }
  std::vector<std::set<std::int64_t>> texts_of(n), images_of(m);
  for (const Match& match : matches) {
    texts_of[static_cast<std::size_t>(match.image)].insert(match.text);
    images_of[static_cast<std::size_t>(match.text)].insert(match.image);
  }
  return {by_sorting(i2t, texts_of), by_sorting(t2i, images_of)};
}

void expect_equal(const RetrievalScores& a, const RetrievalScores& b) {
  EXPECT_NEAR(a.r1, b.r1, 1e-9);
  EXPECT_NEAR(a.r5, b.r5, 1e-9);
  EXPECT_NEAR(a.r10, b.r10, 1e-9);
  EXPECT_EQ(a.median_rank, b.median_rank);
  EXPECT_EQ(a.queries, b.queries);
  EXPECT_EQ(a.candidates, b.candidates);
}

// Entries -1, 0 and 1: dot products are exact, and full of ties.
Tensor ternary(Shape shape, std::uint64_t seed) {
  Tensor out(shape);
  Rng rng(seed);
  for (std::int64_t i = 0; i < out.numel(); ++i) out.mutable_data<float>()[i] = static_cast<float>(rng.below(3) - 1);
  return out;
}

std::vector<Match> random_matches(std::int64_t images, std::int64_t texts, std::int64_t count, std::uint64_t seed) {
  std::vector<Match> matches;
  Rng rng(seed);
  for (std::int64_t i = 0; i < count; ++i) matches.push_back({rng.below(images), rng.below(texts)});
  return matches;
}

TEST(Retrieval, EqualsSortingWithTiesAndSeveralRightAnswers) {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    const std::int64_t n = 1 + static_cast<std::int64_t>(seed * 7 % 90),
                       m = 1 + static_cast<std::int64_t>(seed * 13 % 70);
    const Tensor images = ternary({n, 11}, 2 * seed), texts = ternary({m, 11}, 2 * seed + 1);
    const std::vector<Match> matches = random_matches(n, m, 1 + n * static_cast<std::int64_t>(seed % 4), seed);
    const Retrieval ours = retrieval(images, texts, matches), plain = reference(images, texts, matches);
    expect_equal(ours.i2t, plain.i2t);
    expect_equal(ours.t2i, plain.t2i);
  }
}

TEST(Retrieval, DoesNotDependOnThreads) {
  const Tensor images = random_normal({300, 37}, RngKey{1}), texts = random_normal({200, 37}, RngKey{2});
  const std::vector<Match> matches = random_matches(300, 200, 400, 3);
  const int before = num_threads();
  set_num_threads(1);
  const Retrieval one = retrieval(images, texts, matches);
  set_num_threads(3);
  const Retrieval three = retrieval(images, texts, matches);
  set_num_threads(before);
  expect_equal(one.i2t, three.i2t);
  expect_equal(one.t2i, three.t2i);
}

// With one-dimensional embeddings a score is a product of two numbers.
Tensor column(std::initializer_list<float> values) {
  return from_values<float>({static_cast<std::int64_t>(values.size()), 1}, values);
}

std::int64_t rank_of(const Tensor& texts, std::vector<std::int64_t> right) {
  std::vector<Match> matches;
  for (std::int64_t text : right) matches.push_back({0, text});
  return retrieval(column({1}), texts, matches).i2t.median_rank;
}

TEST(Retrieval, TiesRankBySmallerIndex) {
  const Tensor texts = column({0.5f, 0.9f, 0.9f, 0.9f});
  EXPECT_EQ(rank_of(texts, {1}), 1);
  EXPECT_EQ(rank_of(texts, {2}), 2);
  EXPECT_EQ(rank_of(texts, {3}), 3);
  EXPECT_EQ(rank_of(texts, {0}), 4);
}

TEST(Retrieval, TheBestOfSeveralRightAnswersCounts) {
  const Tensor texts = column({0.1f, 0.4f, 0.3f, 0.2f});
  EXPECT_EQ(rank_of(texts, {0, 2}), 2);
  EXPECT_EQ(rank_of(texts, {3, 1, 0}), 1);
}

TEST(Retrieval, RecallCountsRanksUpToK) {
  // Image i finds its text at rank i + 1.
  constexpr std::int64_t n = 20;
  Tensor images = zeros({n, n}), texts = zeros({n, n});
  for (std::int64_t i = 0; i < n; ++i) {
    texts.mutable_data<float>()[i * n + i] = 1;
    for (std::int64_t j = 0; j < n; ++j)
      images.mutable_data<float>()[i * n + (j + n - i) % n] = static_cast<float>(n - j);
  }
  std::vector<Match> matches;
  for (std::int64_t i = 0; i < n; ++i) matches.push_back({i, 0});
  const RetrievalScores scores = retrieval(images, texts, matches).i2t;
  EXPECT_DOUBLE_EQ(scores.r1, 100.0 * 1 / n);
  EXPECT_DOUBLE_EQ(scores.r5, 100.0 * 5 / n);
  EXPECT_DOUBLE_EQ(scores.r10, 100.0 * 10 / n);
  EXPECT_EQ(scores.median_rank, 10);  // between 10 and 11
}

TEST(Retrieval, SeveralCaptionsAnImage) {
  const std::vector<std::vector<std::string>> captions{{"a dog", "a pet"}, {}, {"a cat", "a pet", "a cat"}};
  const CaptionSet merged = caption_set(captions, true);
  EXPECT_EQ(merged.texts, (std::vector<std::string>{"a dog", "a pet", "a cat"}));
  EXPECT_EQ(merged.matches, (std::vector<Match>{{0, 0}, {0, 1}, {2, 2}, {2, 1}}));
  const CaptionSet each = caption_set(captions, false);
  EXPECT_EQ(each.texts, (std::vector<std::string>{"a dog", "a pet", "a cat", "a pet", "a cat"}));
  EXPECT_EQ(each.matches, (std::vector<Match>{{0, 0}, {0, 1}, {2, 2}, {2, 3}, {2, 4}}));

  // An image's rank is the best of its captions; each caption looks for its one image.
  const Retrieval result = retrieval(column({1, 0.5f}), column({0.1f, 0.9f, 0.5f, 0.2f}),
                                     std::vector<Match>{{0, 0}, {0, 1}, {1, 2}, {1, 3}});
  EXPECT_EQ(result.i2t.r1, 50);  // ranks 1 and 2
  EXPECT_EQ(result.i2t.mean_rank, 1.5);
  EXPECT_EQ(result.t2i.queries, 4);
  EXPECT_EQ(result.t2i.mean_rank, 1.5);  // 1, 1, 2, 2
}

TEST(Retrieval, NanRanksLast) {
  EXPECT_EQ(rank_of(column({NAN, 0.5f, -0.5f}), {0}), 3);
  EXPECT_EQ(rank_of(column({NAN, 0.5f, -0.5f}), {1}), 1);
  EXPECT_EQ(rank_of(column({NAN, 0.5f, -0.5f}), {2}), 2);
  EXPECT_EQ(rank_of(column({NAN, 0.5f, -0.5f}), {0, 2}), 2);
  const Retrieval broken = retrieval(column({NAN, NAN}), column({1, 1, 1}), std::vector<Match>{{0, 0}, {1, 1}});
  EXPECT_EQ(broken.i2t.r1, 0);
  EXPECT_EQ(broken.i2t.median_rank, 3);
  EXPECT_EQ(broken.t2i.r1, 0);
}

TEST(Retrieval, RowsWithoutARightAnswerAreOnlyCandidates) {
  const Retrieval result = retrieval(column({1, 0.9f}), column({1, 0.5f, 0.2f}), std::vector<Match>{{1, 1}});
  EXPECT_EQ(result.i2t.queries, 1);
  EXPECT_EQ(result.i2t.candidates, 3);
  EXPECT_EQ(result.i2t.median_rank, 2);
  EXPECT_EQ(result.t2i.queries, 1);
  EXPECT_EQ(result.t2i.candidates, 2);
  EXPECT_EQ(result.t2i.median_rank, 2);
}

TEST(Retrieval, RefusesWhatDoesNotFit) {
  const std::vector<Match> matches{{0, 0}};
  const Tensor x = column({1});
  EXPECT_THROW(retrieval(Tensor({0, 1}), x, matches), Error);
  EXPECT_THROW(retrieval(x, Tensor({0, 1}), matches), Error);
  EXPECT_THROW(retrieval(x, zeros({1, 2}), matches), Error);
  EXPECT_THROW(retrieval(x, zeros({1, 1}, DType::f64), matches), Error);
  EXPECT_THROW(retrieval(Tensor(), x, matches), Error);
  EXPECT_THROW(retrieval(x, zeros({1}), matches), Error);
  EXPECT_THROW(retrieval(x, x, {}), Error);
  for (const Match bad : {Match{1, 0}, Match{0, 1}, Match{-1, 0}, Match{0, -1}}) {
    EXPECT_THROW(retrieval(x, x, std::span(&bad, 1)), Error);
  }
}

TEST(Retrieval, DistinctCaptionsShareTheirImages) {
  const std::vector<std::string> captions{"dog", "cat", "dog", "", "cat"};
  const CaptionSet set = distinct_captions(captions);
  EXPECT_EQ(set.texts, (std::vector<std::string>{"dog", "cat", ""}));
  EXPECT_EQ(set.matches, (std::vector<Match>{{0, 0}, {1, 1}, {2, 0}, {3, 2}, {4, 1}}));
  EXPECT_TRUE(distinct_captions({}).texts.empty());
}

TEST(TopK, IsTheHeadOfASortedList) {
  Rng rng(5);
  Tensor queries({3, 11}), candidates({50, 11});
  for (Tensor* rows : {&queries, &candidates}) {
    for (std::int64_t i = 0; i < rows->numel(); ++i) rows->mutable_data<float>()[i] = static_cast<float>(rng.below(3));
  }  // whole numbers: many ties
  for (const std::int64_t k : {1, 7, 50, 80}) {
    const auto found = top_k(queries, candidates, k);
    ASSERT_EQ(found.size(), 3u);
    for (std::int64_t q = 0; q < 3; ++q) {
      std::vector<std::int64_t> order(50);
      std::iota(order.begin(), order.end(), 0);
      std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
        return plain_dot(queries, q, candidates, a) > plain_dot(queries, q, candidates, b);
      });
      const auto& hits = found[static_cast<std::size_t>(q)];
      ASSERT_EQ(hits.size(), static_cast<std::size_t>(std::min<std::int64_t>(k, 50)));
      for (std::size_t i = 0; i < hits.size(); ++i) {
        EXPECT_EQ(hits[i].candidate, order[i]);
        EXPECT_EQ(hits[i].score, plain_dot(queries, q, candidates, order[i]));
      }
    }
  }
}

TEST(TopK, RefusesWhatDoesNotFit) {
  const Tensor two = full({1, 2}, 1.0), three = full({1, 3}, 1.0);
  EXPECT_THROW(top_k(two, three, 1), Error);
  EXPECT_THROW(top_k(two, two, 0), Error);
  EXPECT_THROW(top_k(two, Tensor({0, 2}), 1), Error);
}

}  // namespace
}  // namespace fovea::eval
