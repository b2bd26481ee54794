#include "fovea/eval/zero_shot.h"

#include <cmath>

#include "fovea/data/lines.h"
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

ClassificationScores zero_shot_scores(const Tensor& pictures, const Tensor& classifier,
                                      std::span<const std::int64_t> labels) {
  return classification_scores(top_k(pictures, classifier, 5), labels, classifier.dim(0));
}

std::string zero_shot_line(std::span<const ZeroShotSplit> splits, std::span<const std::string> classes) {
  using Json = nlohmann::ordered_json;
  Json line{{"step", 0}, {"eval", Json::object()}};
  for (const ZeroShotSplit& split : splits)
    line["eval"][split.split]["zero_shot"] = Json::parse(to_json(split.scores, classes));
  return io::detail::to_text(line);
}

}  // namespace fovea::eval
