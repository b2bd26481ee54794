#include "fovea/train/report.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

#include "eval/chart.h"
#include "eval/page.h"
#include "fovea/io/file.h"
#include "io/json.h"
#include "train/examples_section.h"

namespace fovea::train {
namespace {

using eval::detail::Curve;
using eval::detail::escape;
using eval::detail::fixed;
using eval::detail::line_chart;
using eval::detail::Point;
using Json = nlohmann::ordered_json;

struct Metrics {
  std::vector<std::pair<std::string, std::vector<Point>>> figures;  // of the training lines, by name
  std::vector<std::pair<double, Json>> evaluations;                 // step and splits

  const std::vector<Point>* find(const std::string& name) const {
    for (const auto& [known, points] : figures) {
      if (known == name) return &points;
    }
    return nullptr;
  }
};

double number_or_nan(const Json& json) { return json.is_number() ? json.get<double>() : std::nan(""); }

void add_figure(Metrics& metrics, const std::string& name, Point point) {
  auto found = std::find_if(metrics.figures.begin(), metrics.figures.end(),
                            [&](const auto& figure) { return figure.first == name; });
  if (found == metrics.figures.end()) found = metrics.figures.insert(found, {name, {}});
  // A resumed run repeats the steps after its checkpoint: these count.
  while (!found->second.empty() && found->second.back().x >= point.x) found->second.pop_back();
  found->second.push_back(point);
}

void read_line(const Json& line, const std::string& place, Metrics& metrics) {
  FOVEA_CHECK(line.is_object() && line.contains("step") && line["step"].is_number(), place,
              ": expected an object with a number \"step\"");
  const double step = line["step"].get<double>();
  for (const auto& [name, value] : line.items()) {
    if (value.is_number() || value.is_null()) add_figure(metrics, name, {step, number_or_nan(value)});
  }
  if (!line.contains("eval")) return;
  FOVEA_CHECK(line["eval"].is_object(), place, ": \"eval\" is not an object");
  auto& evaluations = metrics.evaluations;
  while (!evaluations.empty() && evaluations.back().first >= step) evaluations.pop_back();
  evaluations.emplace_back(step, line["eval"]);
}

Metrics read_metrics(const std::string& path) {
  const std::string contents = io::read_file(path);
  Metrics metrics;
  int line = 0;
  for (std::size_t begin = 0; begin < contents.size();) {
    const std::size_t end = std::min(contents.find('\n', begin), contents.size());
    const std::string place = concat("[report] ", path, ": line ", ++line);
    read_line(io::detail::parse_json<Json>(std::string_view(contents).substr(begin, end - begin), place), place,
              metrics);
    begin = end + 1;
  }
  return metrics;
}

// Scores of one direction of one split; null when there are none.
Json score(const Json& scores, const char* direction, const char* figure) {
  const auto way = scores.find(direction);
  return way != scores.end() && way->is_object() && way->contains(figure) ? (*way)[figure] : Json();
}

// The latest scores of each split, in order of appearance.
Json latest_scores(const Metrics& metrics) {
  Json splits = Json::object();
  for (const auto& [step, evaluated] : metrics.evaluations) {
    for (const auto& [split, scores] : evaluated.items()) splits[split] = scores;
  }
  return splits;
}

std::string cell(const Json& scores, const char* direction, const char* figure, int decimals) {
  return concat("<td>", fixed(number_or_nan(score(scores, direction, figure)), decimals), "</td>");
}

std::string table_row(const std::string& split, const Json& scores) {
  std::string row = concat("<tr><th scope=\"row\">", escape(split), "</th>");
  for (const char* direction : {"i2t", "t2i"}) {
    for (const char* figure : {"r1", "r5", "r10"}) row += cell(scores, direction, figure, 1);
    row += cell(scores, direction, "median_rank", 0);
  }
  return row + cell(scores, "i2t", "queries", 0) + cell(scores, "t2i", "queries", 0) + "</tr>\n";
}

std::string score_table(const Json& splits) {
  if (splits.empty()) return "<p>No split was evaluated.</p>\n";
  std::string out =
      "<div class=\"wide card\" role=\"region\" tabindex=\"0\" aria-label=\"Scores\"><table>\n<thead><tr><th "
      "rowspan=\"2\" scope=\"col\">split</th>"
      "<th colspan=\"4\" scope=\"colgroup\">image → text</th><th colspan=\"4\" scope=\"colgroup\">text → image</th>"
      "<th colspan=\"2\" scope=\"colgroup\">queries</th></tr>\n<tr>";
  for (int direction = 0; direction < 2; ++direction) {
    for (const char* name : {"R@1", "R@5", "R@10", "median"}) out += concat("<th scope=\"col\">", name, "</th>");
  }
  out += "<th scope=\"col\">images</th><th scope=\"col\">texts</th></tr></thead>\n<tbody>\n";
  for (const auto& [split, scores] : splits.items()) out += table_row(split, scores);
  return out +
         "</tbody></table></div>\n<p class=\"note\">R@K: percent of the queries with a right answer among the first K. "
         "Median: rank of the best right answer, counted from 1.</p>\n";
}

std::string loss_chart(const std::vector<Point>& losses) {
  std::vector<Curve> curves{{"loss", losses}};
  constexpr std::size_t many = 40;
  if (losses.size() >= many) {
    curves.front().points = eval::detail::smoothed(losses, losses.size() / 20);
    curves.push_back({"as logged", losses, true});
  }
  return line_chart("Loss", curves,
                    concat("From ", fixed(losses.front().y, 3), " to ", fixed(losses.back().y, 3), " over ",
                           format_count(std::llround(losses.back().x)), " steps."));
}

// One chart for the named figures that the run logged; nothing when it logged none.
std::string figure_chart(const Metrics& metrics, const std::string& title,
                         const std::vector<std::pair<const char*, const char*>>& names_and_labels) {
  std::vector<Curve> curves;
  for (const auto& [name, label] : names_and_labels) {
    if (const auto* points = metrics.find(name)) curves.push_back({label, *points});
  }
  return curves.empty() ? "" : line_chart(title, curves);
}

std::string recall_chart(const Metrics& metrics) {
  if (metrics.evaluations.size() < 2) return "";
  std::vector<Curve> curves;
  for (const auto& [step, splits] : metrics.evaluations) {
    for (const auto& [split, scores] : splits.items()) {
      auto found =
          std::find_if(curves.begin(), curves.end(), [name = split](const Curve& curve) { return curve.name == name; });
      if (found == curves.end()) found = curves.insert(found, {split, {}});
      found->points.push_back({step, number_or_nan(score(scores, "i2t", "r1"))});
    }
  }
  return line_chart("R@1 image → text, percent", curves,
                    curves.size() > eval::detail::max_curves
                        ? concat("The first ", eval::detail::max_curves, " of ", curves.size(), " splits.")
                        : "");
}

std::string charts(const Metrics& metrics) {
  const auto* losses = metrics.find("loss");
  if (losses == nullptr) return "<p>No training step was logged.</p>\n";
  return concat(
      "<div class=\"charts\">\n", loss_chart(*losses), recall_chart(metrics),
      figure_chart(metrics, "Learning rate", {{"lr", "learning rate"}}),
      figure_chart(metrics, "Temperature: factor on the cosines", {{"logit_scale", "logit scale"}}),
      figure_chart(metrics, "Bias of the logits", {{"logit_bias", "logit bias"}}),
      figure_chart(metrics, "Gradient norm", {{"grad_norm", "gradient norm"}}),
      figure_chart(metrics, "Throughput, pairs per second", {{"pairs_per_s", "pairs per second"}}),
      figure_chart(metrics, "Time of a step, ms", {{"step_ms", "computing"}, {"data_wait_ms", "waiting for data"}}),
      figure_chart(metrics, "Memory of tensors, MB", {{"peak_mb", "at most"}, {"live_mb", "between steps"}}),
      "</div>\n");
}

constexpr const char* report_style = R"(
pre { overflow-x: auto; font-size: .8rem; margin: .75rem 0 0; } summary { cursor: pointer; }
)";

std::string config_section(const std::string& path) {
  if (::access(path.c_str(), R_OK) != 0) return "";
  return concat("<h2>Configuration</h2>\n<details class=\"card\"><summary>config.json</summary>\n<pre>",
                escape(io::read_file(path)), "</pre>\n</details>\n");
}

}  // namespace

std::string format_count(long long count) {
  std::string digits = std::to_string(count);
  const std::size_t first = count < 0 ? 1 : 0;
  for (std::size_t i = digits.size(); i > first + 3;) digits.insert(i -= 3, 1, ',');
  return digits;
}

void write_report(const std::string& run_folder, const std::string& title, const Facts& facts,
                  const eval::RetrievalExamples& examples) {
  const Metrics metrics = read_metrics(run_folder + "/metrics.jsonl");
  io::write_file(
      run_folder + "/report.html",
      eval::detail::page(title, concat(report_style, eval::detail::chart_style, detail::examples_style),
                         concat(eval::detail::fact_list(facts), "<h2>Scores</h2>\n",
                                score_table(latest_scores(metrics)), "<h2>Training</h2>\n", charts(metrics),
                                detail::examples_section(examples), config_section(run_folder + "/config.json"))));
}

}  // namespace fovea::train
