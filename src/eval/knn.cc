#include "fovea/eval/knn.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "fovea/autograd/no_grad.h"
#include "fovea/core/parallel.h"
#include "fovea/ops/normalize.h"

namespace fovea::eval {
namespace {

using Index = std::int64_t;

Tensor unit_rows(const Tensor& x) {
  const NoGrad nothing_is_recorded;
  return ops::l2_normalize(x).value();
}

// The first five classes by votes.
std::vector<Hit> first_classes(const std::vector<double>& votes) {
  std::vector<Index> order(votes.size());
  std::iota(order.begin(), order.end(), 0);
  const auto five = order.begin() + std::min<std::ptrdiff_t>(5, std::ssize(order));
  const auto vote = [&](Index c) { return votes[static_cast<std::size_t>(c)]; };
  std::partial_sort(order.begin(), five, order.end(),
                    [&](Index a, Index b) { return vote(a) != vote(b) ? vote(a) > vote(b) : a < b; });
  std::vector<Hit> hits;
  for (auto c = order.begin(); c != five; ++c) hits.push_back({*c, static_cast<float>(vote(*c))});
  return hits;
}

// What `weight` of each of the first k neighbours of every query makes of it.
template <class Weight>
ClassificationScores vote(const std::vector<std::vector<Hit>>& neighbours, Index k, std::span<const Index> known_labels,
                          std::span<const Index> labels, Index classes, Weight&& weight) {
  std::vector<std::vector<Hit>> answers(neighbours.size());
  parallel_for(std::ssize(neighbours), 64, [&](Index begin, Index end) {
    for (; begin < end; ++begin) {
      const auto query = static_cast<std::size_t>(begin);
      std::vector<double> votes(static_cast<std::size_t>(classes));
      for (Index i = 0; i < k; ++i) {
        const Hit& hit = neighbours[query][static_cast<std::size_t>(i)];
        votes[static_cast<std::size_t>(known_labels[static_cast<std::size_t>(hit.candidate)])] += weight(hit.score);
      }
      answers[query] = first_classes(votes);
    }
  });
  return classification_scores(answers, labels, classes);
}

}  // namespace

std::vector<KnnScores> knn_scores(const Tensor& known, std::span<const Index> known_labels, const Tensor& queries,
                                  std::span<const Index> labels, Index classes, std::span<const Index> ks,
                                  double temperature) {
  FOVEA_CHECK(known.rank() == 2 && known.dim(0) == std::ssize(known_labels), "[knn] known pictures are ", known.shape(),
              ", with ", known_labels.size(), " labels");
  FOVEA_CHECK(temperature > 0, "[knn] temperature is ", temperature, ", expected a number above 0");
  for (const Index label : known_labels)
    FOVEA_CHECK(label >= 0 && label < classes, "[knn] a label is ", label, ", but there are ", classes, " classes");
  for (const Index k : ks)
    FOVEA_CHECK(k >= 1 && k <= known.dim(0), "[knn] k is ", k, ", expected 1 to ", known.dim(0),
                ", the number of known pictures");
  if (ks.empty()) return {};
  const auto neighbours = top_k(unit_rows(queries), unit_rows(known), *std::max_element(ks.begin(), ks.end()));
  std::vector<KnnScores> scores;
  for (const Index k : ks) {
    scores.push_back({k,
                      vote(neighbours, k, known_labels, labels, classes,
                           [&](float cosine) { return std::exp(static_cast<double>(cosine) / temperature); }),
                      vote(neighbours, k, known_labels, labels, classes, [](float) { return 1.0; })});
  }
  return scores;
}

}  // namespace fovea::eval
