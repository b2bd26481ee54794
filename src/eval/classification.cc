#include "fovea/eval/classification.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "io/json_fields.h"

namespace fovea::eval {

ClassificationScores classification_scores(std::span<const std::vector<Hit>> answers,
                                           std::span<const std::int64_t> labels, std::int64_t classes) {
  FOVEA_CHECK(answers.size() == labels.size(), "[classification] ", answers.size(), " pictures and ", labels.size(),
              " labels");
  ClassificationScores scores;
  scores.pictures = static_cast<std::int64_t>(labels.size());
  scores.confusion.assign(static_cast<std::size_t>(classes * classes), 0);
  std::int64_t first = 0, among_five = 0;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    FOVEA_CHECK(labels[i] >= 0 && labels[i] < classes, "[classification] label ", labels[i], " of picture ", i,
                ", but there are ", classes, " classes");
    const std::vector<Hit>& hits = answers[i];
    FOVEA_CHECK(!std::isnan(hits.front().score), "[classification] picture ", i,
                " has a score that is not a number\nhint: the model's weights may not be finite");
    first += hits.front().candidate == labels[i];
    const auto five = hits.begin() + std::min<std::ptrdiff_t>(5, std::ssize(hits));
    among_five += std::any_of(hits.begin(), five, [&](const Hit& hit) { return hit.candidate == labels[i]; });
    ++scores.confusion[static_cast<std::size_t>(labels[i] * classes + hits.front().candidate)];
  }
  const auto percent = [&](std::int64_t right) {
    return 100 * static_cast<double>(right) / static_cast<double>(scores.pictures);
  };
  scores.top1 = percent(first);
  scores.top5 = percent(among_five);
  int present = 0;
  for (std::int64_t c = 0; c < classes; ++c) {
    const double accuracy = class_accuracy(scores, c);
    if (std::isnan(accuracy)) continue;
    scores.mean_per_class += accuracy;
    ++present;
  }
  scores.mean_per_class /= present;
  return scores;
}

double class_accuracy(const ClassificationScores& scores, std::int64_t index) {
  const auto classes = static_cast<std::size_t>(std::llround(std::sqrt(static_cast<double>(scores.confusion.size()))));
  const std::size_t row = static_cast<std::size_t>(index) * classes;
  FOVEA_CHECK(index >= 0 && row < scores.confusion.size(), "[classification] no class ", index, " of ", classes);
  std::int64_t pictures = 0;
  for (std::size_t c = 0; c < classes; ++c) pictures += scores.confusion[row + c];
  if (pictures == 0) return std::numeric_limits<double>::quiet_NaN();
  return 100 * static_cast<double>(scores.confusion[row + static_cast<std::size_t>(index)]) /
         static_cast<double>(pictures);
}

std::string to_json(const ClassificationScores& s, std::span<const std::string> classes) {
  using Json = nlohmann::ordered_json;
  Json accuracies = Json::object(), confusion = Json::array();
  for (std::size_t c = 0; c < classes.size(); ++c) {
    accuracies[classes[c]] = class_accuracy(s, static_cast<std::int64_t>(c));
    const auto row = s.confusion.begin() + static_cast<std::ptrdiff_t>(c * classes.size());
    confusion.push_back(std::vector<std::int64_t>(row, row + static_cast<std::ptrdiff_t>(classes.size())));
  }
  return io::detail::to_text(Json{{"top1", s.top1},
                                  {"top5", s.top5},
                                  {"mean_per_class", s.mean_per_class},
                                  {"pictures", s.pictures},
                                  {"classes", accuracies},
                                  {"confusion", confusion}});
}

}  // namespace fovea::eval
