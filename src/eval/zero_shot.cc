#include "fovea/eval/zero_shot.h"

#include <cmath>
#include <limits>

#include "fovea/data/lines.h"
#include "fovea/eval/retrieval.h"
#include "io/json_fields.h"

namespace fovea::eval {
namespace {

constexpr std::string_view slot = "{}";

std::string filled(const std::string& pattern, const std::string& name) {
  std::string text;
  std::size_t begin = 0;
  for (std::size_t at; (at = pattern.find(slot, begin)) != std::string::npos; begin = at + slot.size())
    text += pattern.substr(begin, at - begin) + name;
  return text + pattern.substr(begin);
}

void normalize(float* row, std::int64_t width) {
  double squared = 0;
  for (std::int64_t i = 0; i < width; ++i) squared += static_cast<double>(row[i]) * row[i];
  const double norm = std::sqrt(squared);
  for (std::int64_t i = 0; i < width; ++i) row[i] = static_cast<float>(row[i] / norm);
}

}  // namespace

std::vector<std::string> simple_template() { return {"a photo of a {}."}; }

std::vector<std::string> seven_templates() {
  return {"itap of a {}.",         "a bad photo of the {}.", "a origami {}.",           "a photo of the large {}.",
          "a {} in a video game.", "art of the {}.",         "a photo of the small {}."};
}

std::vector<std::string> load_templates(const std::string& path) {
  const std::vector<std::string> templates = data::read_lines(path);
  for (const std::string& pattern : templates) {
    FOVEA_CHECK(pattern.find(slot) != std::string::npos, "[zero_shot] ", path, ": template \"", pattern,
                "\" has no {}, where the class's name goes");
  }
  return templates;
}

Tensor zero_shot_classifier(const ClipEncoder& encoder, std::span<const std::string> classes,
                            std::span<const std::string> templates) {
  FOVEA_CHECK(!classes.empty() && !templates.empty(), "[zero_shot] ", classes.size(), " classes and ", templates.size(),
              " templates, expected at least one of each");
  std::vector<std::string> texts;
  for (const std::string& name : classes) {
    for (const std::string& pattern : templates) {
      FOVEA_CHECK(pattern.find(slot) != std::string::npos, "[zero_shot] template \"", pattern, "\" has no {}");
      texts.push_back(filled(pattern, name));
    }
  }
  const Tensor embedded = embed_texts(encoder, texts);
  const auto count = static_cast<std::int64_t>(classes.size()), each = static_cast<std::int64_t>(templates.size());
  const std::int64_t width = embedded.dim(1);
  Tensor classifier({count, width});
  float* out = classifier.mutable_data<float>();
  const float* in = embedded.data<float>();
  for (std::int64_t c = 0; c < count; ++c, out += width) {
    for (std::int64_t e = 0; e < width; ++e) {
      double sum = 0;
      for (std::int64_t t = 0; t < each; ++t) sum += in[(c * each + t) * width + e];
      out[e] = static_cast<float>(sum / static_cast<double>(each));
    }
    normalize(out, width);
  }
  return classifier;
}

ZeroShotScores zero_shot_scores(const Tensor& pictures, const Tensor& classifier,
                                std::span<const std::int64_t> labels) {
  const auto answers = top_k(pictures, classifier, 5);
  FOVEA_CHECK(answers.size() == labels.size(), "[zero_shot] ", answers.size(), " pictures and ", labels.size(),
              " labels");
  const std::int64_t classes = classifier.dim(0);
  ZeroShotScores scores;
  scores.pictures = static_cast<std::int64_t>(labels.size());
  scores.confusion.assign(static_cast<std::size_t>(classes * classes), 0);
  std::int64_t first = 0, among_five = 0;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    FOVEA_CHECK(labels[i] >= 0 && labels[i] < classes, "[zero_shot] label ", labels[i], " of picture ", i,
                ", but there are ", classes, " classes");
    FOVEA_CHECK(!std::isnan(answers[i].front().score), "[zero_shot] picture ", i,
                " has a similarity that is not a number\nhint: the model's weights may not be finite");
    first += answers[i].front().candidate == labels[i];
    for (const Hit& hit : answers[i]) among_five += hit.candidate == labels[i];
    ++scores.confusion[static_cast<std::size_t>(labels[i] * classes + answers[i].front().candidate)];
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

double class_accuracy(const ZeroShotScores& scores, std::int64_t index) {
  const auto classes = static_cast<std::size_t>(std::llround(std::sqrt(static_cast<double>(scores.confusion.size()))));
  const std::size_t row = static_cast<std::size_t>(index) * classes;
  FOVEA_CHECK(index >= 0 && row < scores.confusion.size(), "[zero_shot] no class ", index, " of ", classes);
  std::int64_t pictures = 0;
  for (std::size_t c = 0; c < classes; ++c) pictures += scores.confusion[row + c];
  if (pictures == 0) return std::numeric_limits<double>::quiet_NaN();
  return 100 * static_cast<double>(scores.confusion[row + static_cast<std::size_t>(index)]) /
         static_cast<double>(pictures);
}

std::string zero_shot_line(std::span<const ZeroShotSplit> splits, std::span<const std::string> classes) {
  using Json = nlohmann::ordered_json;
  Json line{{"step", 0}, {"eval", Json::object()}};
  for (const ZeroShotSplit& split : splits) {
    const ZeroShotScores& s = split.scores;
    Json accuracies = Json::object(), confusion = Json::array();
    for (std::size_t c = 0; c < classes.size(); ++c) {
      accuracies[classes[c]] = class_accuracy(s, static_cast<std::int64_t>(c));
      const auto row = s.confusion.begin() + static_cast<std::ptrdiff_t>(c * classes.size());
      confusion.push_back(std::vector<std::int64_t>(row, row + static_cast<std::ptrdiff_t>(classes.size())));
    }
    line["eval"][split.split]["zero_shot"] = {
        {"top1", s.top1},         {"top5", s.top5},        {"mean_per_class", s.mean_per_class},
        {"pictures", s.pictures}, {"classes", accuracies}, {"confusion", confusion}};
  }
  return io::detail::to_text(line);
}

}  // namespace fovea::eval
