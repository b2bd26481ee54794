#include "fovea/eval/retrieval.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <unordered_map>

#include "fovea/core/parallel.h"

namespace fovea::eval {
namespace {

using Index = std::int64_t;
using Answers = std::vector<std::vector<Index>>;  // of each query, the right candidates

struct Rows {
  const float* data;
  Index count, width;

  const float* operator[](Index i) const { return data + i * width; }
};

// Eight running sums, so that the compiler may use vectors; their order does not depend on the blocks.
float dot(const float* a, const float* b, Index n) {
  constexpr Index lanes = 8;
  float sums[lanes] = {};
  Index i = 0;
  for (; i + lanes <= n; i += lanes) {
    for (Index k = 0; k < lanes; ++k) sums[k] += a[i + k] * b[i + k];
  }
  float total = 0;
  for (; i < n; ++i) total += a[i] * b[i];
  for (float sum : sums) total += sum;
  return total;
}

// Scores of all candidates for the queries [begin, end): (end - begin, candidates).
void similarity(const Rows& queries, Index begin, Index end, const Rows& candidates, float* scores) {
  for (Index q = begin; q < end; ++q) {
    for (Index c = 0; c < candidates.count; ++c) *scores++ = dot(queries[q], candidates[c], queries.width);
  }
}

// Whether candidate a stands before candidate b.
bool ranks_before(const float* scores, Index a, Index b) {
  const bool nan_a = std::isnan(scores[a]), nan_b = std::isnan(scores[b]);
  if (nan_a || nan_b) return nan_a == nan_b ? a < b : nan_b;
  return scores[a] != scores[b] ? scores[a] > scores[b] : a < b;
}

// Rank of the best right answer, counted from 1. A right answer without a score is last, whatever its index.
Index best_rank(const float* scores, Index candidates, const std::vector<Index>& right) {
  const Index best =
      *std::min_element(right.begin(), right.end(), [&](Index a, Index b) { return ranks_before(scores, a, b); });
  if (std::isnan(scores[best])) return candidates;
  Index rank = 1;
  for (Index c = 0; c < candidates; ++c) rank += ranks_before(scores, c, best);
  return rank;
}

// Calls f(query, scores of all candidates) for every query, on several threads. The scores are never held all at once.
template <class F>
void for_each_query(const Rows& queries, const Rows& candidates, F&& f) {
  constexpr Index block_scores = 1 << 20;  // of one thread at a time: 4 MB
  const Index block = std::clamp<Index>(block_scores / candidates.count, 1, 64);
  parallel_for(queries.count, block, [&](Index begin, Index end) {
    std::vector<float> scores(static_cast<std::size_t>((end - begin) * candidates.count));
    similarity(queries, begin, end, candidates, scores.data());
    for (Index q = begin; q < end; ++q) f(q, scores.data() + (q - begin) * candidates.count);
  });
}

// Ranks of the queries that have a right answer.
std::vector<Index> best_ranks(const Rows& queries, const Rows& candidates, const Answers& right) {
  std::vector<Index> ranks(static_cast<std::size_t>(queries.count), 0);
  for_each_query(queries, candidates, [&](Index q, const float* scores) {
    const auto& answers = right[static_cast<std::size_t>(q)];
    if (!answers.empty()) ranks[static_cast<std::size_t>(q)] = best_rank(scores, candidates.count, answers);
  });
  std::erase(ranks, 0);
  return ranks;
}

RetrievalScores summarize(std::vector<Index> ranks, Index candidates) {
  const auto percent_within = [&](Index k) {
    const auto hits = std::count_if(ranks.begin(), ranks.end(), [k](Index rank) { return rank <= k; });
    return 100 * static_cast<double>(hits) / static_cast<double>(ranks.size());
  };
  std::sort(ranks.begin(), ranks.end());
  const Index middle = ranks[(ranks.size() - 1) / 2] + ranks[ranks.size() / 2];
  const auto count = static_cast<double>(ranks.size());
  const double mean = static_cast<double>(std::accumulate(ranks.begin(), ranks.end(), Index{0})) / count;
  return {percent_within(1),
          percent_within(5),
          percent_within(10),
          middle / 2,
          static_cast<Index>(ranks.size()),
          candidates,
          mean};
}

void check_embeddings(const Tensor& x, const char* name) {
  FOVEA_CHECK(x.defined() && x.rank() == 2 && x.dtype() == DType::f32, "[retrieval] ", name,
              " expects f32 (rows, width), got ", x.defined() ? concat(x.dtype(), " ", x.shape()) : "undefined");
  FOVEA_CHECK(x.numel() > 0, "[retrieval] ", name, " is empty: ", x.shape());
}

Rows rows_of(const Tensor& x) { return {x.data<float>(), x.dim(0), x.dim(1)}; }

}  // namespace

Retrieval retrieval(const Tensor& images, const Tensor& texts, std::span<const Match> matches) {
  check_embeddings(images, "images");
  check_embeddings(texts, "texts");
  FOVEA_CHECK(images.dim(1) == texts.dim(1), "[retrieval] images have width ", images.dim(1), ", texts ", texts.dim(1));
  FOVEA_CHECK(!matches.empty(), "[retrieval] no image has a right text");
  Answers texts_of(static_cast<std::size_t>(images.dim(0))), images_of(static_cast<std::size_t>(texts.dim(0)));
  for (const Match& match : matches) {
    FOVEA_CHECK(match.image >= 0 && match.image < images.dim(0) && match.text >= 0 && match.text < texts.dim(0),
                "[retrieval] match of image ", match.image, " and text ", match.text, ", but there are ", images.dim(0),
                " images and ", texts.dim(0), " texts");
    texts_of[static_cast<std::size_t>(match.image)].push_back(match.text);
    images_of[static_cast<std::size_t>(match.text)].push_back(match.image);
  }
  const Rows image_rows = rows_of(images), text_rows = rows_of(texts);
  return {summarize(best_ranks(image_rows, text_rows, texts_of), text_rows.count),
          summarize(best_ranks(text_rows, image_rows, images_of), image_rows.count)};
}

std::vector<std::vector<Hit>> top_k(const Tensor& queries, const Tensor& candidates, Index k) {
  check_embeddings(queries, "queries");
  check_embeddings(candidates, "candidates");
  FOVEA_CHECK(queries.dim(1) == candidates.dim(1), "[retrieval] queries have width ", queries.dim(1), ", candidates ",
              candidates.dim(1));
  FOVEA_CHECK(k >= 1, "[retrieval] k is ", k, ", expected at least 1");
  std::vector<std::vector<Hit>> found(static_cast<std::size_t>(queries.dim(0)));
  const Index count = candidates.dim(0), kept = std::min(k, count);
  for_each_query(rows_of(queries), rows_of(candidates), [&](Index q, const float* scores) {
    std::vector<Index> order(static_cast<std::size_t>(count));
    std::iota(order.begin(), order.end(), 0);
    std::partial_sort(order.begin(), order.begin() + kept, order.end(),
                      [scores](Index a, Index b) { return ranks_before(scores, a, b); });
    for (Index i = 0; i < kept; ++i) {
      const Index candidate = order[static_cast<std::size_t>(i)];
      found[static_cast<std::size_t>(q)].push_back({candidate, scores[candidate]});
    }
  });
  return found;
}

CaptionSet distinct_captions(std::span<const std::string> captions) {
  std::vector<std::vector<std::string>> each;
  for (const std::string& caption : captions) each.push_back({caption});
  return caption_set(each, true);
}

CaptionSet caption_set(std::span<const std::vector<std::string>> captions, bool merge_equal) {
  CaptionSet set;
  std::unordered_map<std::string_view, Index> seen;
  for (std::size_t image = 0; image < captions.size(); ++image) {
    std::set<Index> own;  // an image may have a caption twice
    for (const std::string& caption : captions[image]) {
      const auto next = static_cast<Index>(set.texts.size());
      const Index text = merge_equal ? seen.emplace(caption, next).first->second : next;
      if (text == next) set.texts.push_back(caption);
      if (own.insert(text).second) set.matches.push_back({static_cast<Index>(image), text});
    }
  }
  return set;
}

}  // namespace fovea::eval
