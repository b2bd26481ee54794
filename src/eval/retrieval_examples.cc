#include "fovea/eval/retrieval_examples.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <set>

#include "fovea/core/rng.h"

namespace fovea::eval {
namespace {

using Index = std::int64_t;
using Query = RetrievalExamples::Query;

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

// 0 ... names.size() - 1 in an order that looks random and depends on the names alone.
std::vector<Index> shuffled_by_name(const std::vector<std::string>& names) {
  std::vector<std::uint64_t> hashes;
  for (const std::string& name : names) hashes.push_back(mix(hash_name(name), 0));
  std::vector<Index> order(names.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](Index a, Index b) { return hashes[at(a)] < hashes[at(b)]; });
  return order;
}

std::vector<std::string> file_names(const std::vector<std::string>& paths) {
  std::vector<std::string> names;
  for (const std::string& path : paths) names.push_back(std::filesystem::path(path).filename().string());
  return names;
}

Tensor gather(const Tensor& rows, const std::vector<Index>& chosen) {
  Tensor out({static_cast<Index>(chosen.size()), rows.dim(1)});
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const auto to = static_cast<Index>(i);
    out.rows(to, to + 1).copy_from(rows.rows(chosen[i], chosen[i] + 1));
  }
  return out;
}

// `right` holds (query, candidate).
std::vector<Query> ask(const Tensor& queries, const Tensor& candidates, std::vector<Index> chosen,
                       const std::set<std::pair<Index, Index>>& right, const ExampleCounts& counts) {
  chosen.resize(std::min(chosen.size(), at(counts.queries)));
  if (chosen.empty()) return {};
  const auto ranked = top_k(gather(queries, chosen), candidates, candidates.dim(0));
  std::vector<Query> asked;
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    Query query{chosen[i], {}, 0};
    for (std::size_t rank = 0; rank < ranked[i].size(); ++rank) {
      const Hit& hit = ranked[i][rank];
      const bool is_right = right.contains({chosen[i], hit.candidate});
      if (static_cast<Index>(rank) < counts.answers) query.answers.push_back({hit.candidate, hit.score, is_right});
      if (is_right && query.best_rank == 0)
        query.best_rank = std::isnan(hit.score) ? candidates.dim(0) : static_cast<Index>(rank) + 1;
    }
    asked.push_back(std::move(query));
  }
  return asked;
}

// One picture of each caption, in the order of `texts`.
std::vector<Match> choose_pairs(const EmbeddedPairs& pairs, const std::vector<Index>& texts, Index count) {
  std::vector<Index> picture_of(pairs.captions.size(), -1);
  for (const Match& match : pairs.matches) {
    if (picture_of[at(match.text)] < 0) picture_of[at(match.text)] = match.image;
  }
  std::vector<Match> chosen;
  for (const Index text : texts) {
    if (static_cast<Index>(chosen.size()) < count) chosen.push_back({picture_of[at(text)], text});
  }
  return chosen;
}

std::vector<float> similarities(const EmbeddedPairs& pairs, const std::vector<Match>& chosen) {
  const std::size_t n = chosen.size();
  std::vector<float> similarity(n * n);
  if (n == 0) return similarity;
  std::vector<Index> texts, images;
  for (const Match& match : chosen) {
    texts.push_back(match.text);
    images.push_back(match.image);
  }
  const auto ranked = top_k(gather(pairs.texts, texts), gather(pairs.images, images), static_cast<Index>(n));
  for (std::size_t row = 0; row < n; ++row) {
    for (const Hit& hit : ranked[row]) similarity[row * n + at(hit.candidate)] = hit.score;
  }
  return similarity;
}

}  // namespace

RetrievalExamples retrieval_examples(const EmbeddedPairs& pairs, const ExampleCounts& counts) {
  FOVEA_CHECK(counts.queries >= 0 && counts.answers >= 0 && counts.pairs >= 0,
              "[examples] numbers of queries, answers "
              "and pairs are ",
              counts.queries, ", ", counts.answers, ", ", counts.pairs, ", expected at least 0");
  std::set<std::pair<Index, Index>> by_image, by_text;
  for (const Match& match : pairs.matches) {
    by_image.emplace(match.image, match.text);
    by_text.emplace(match.text, match.image);
  }
  const std::vector<Index> texts = shuffled_by_name(pairs.captions), images = shuffled_by_name(file_names(pairs.paths));
  RetrievalExamples examples;
  examples.pictures = pairs.paths;
  examples.texts = pairs.captions;
  examples.t2i = ask(pairs.texts, pairs.images, texts, by_text, counts);
  examples.i2t = ask(pairs.images, pairs.texts, images, by_image, counts);
  examples.pairs = choose_pairs(pairs, texts, counts.pairs);
  examples.similarity = similarities(pairs, examples.pairs);
  return examples;
}

}  // namespace fovea::eval
