#include "fovea/train/report.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>

#include "fovea/io/file.h"
#include "io/json.h"

namespace fovea::train {
namespace {

using Json = nlohmann::ordered_json;

struct Point {
  double step = 0, loss = 0;  // a loss that was not finite is NaN
};

struct Metrics {
  std::vector<Point> losses;
  Json splits = Json::object();  // the latest scores of each split, in order of appearance
};

std::string number(double value, int decimals) {
  if (!std::isfinite(value)) return "–";
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

std::string escape(std::string_view text) {
  std::string out;
  for (char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += c;
    }
  }
  return out;
}

double number_or_nan(const Json& json) { return json.is_number() ? json.get<double>() : std::nan(""); }

void read_line(const Json& line, const std::string& place, Metrics& metrics) {
  FOVEA_CHECK(line.is_object() && line.contains("step") && line["step"].is_number(), place,
              ": expected an object with a number \"step\"");
  if (line.contains("loss")) metrics.losses.push_back({line["step"].get<double>(), number_or_nan(line["loss"])});
  if (!line.contains("eval")) return;
  FOVEA_CHECK(line["eval"].is_object(), place, ": \"eval\" is not an object");
  for (const auto& [split, scores] : line["eval"].items()) metrics.splits[split] = scores;
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

// Means of neighbours, so that a long run is no larger than a page needs.
std::vector<Point> thin_out(const std::vector<Point>& points) {
  constexpr std::size_t enough = 800;
  const std::size_t group = (points.size() + enough - 1) / enough;
  std::vector<Point> out;
  for (std::size_t begin = 0; begin < points.size(); begin += group) {
    const std::size_t end = std::min(begin + group, points.size());
    Point mean;
    for (std::size_t i = begin; i < end; ++i) {
      mean.step += points[i].step / static_cast<double>(end - begin);
      mean.loss += points[i].loss / static_cast<double>(end - begin);
    }
    out.push_back(mean);
  }
  return out;
}

// An axis from low to high on which `unit` is a round number.
struct Axis {
  double low = 0, high = 1, unit = 1;

  double at(double value) const { return (value - low) / (high - low); }  // 0..1
  int marks() const { return static_cast<int>(std::lround((high - low) / unit)); }
  double mark(int i) const { return low + i * unit; }
  int decimals() const { return std::clamp(static_cast<int>(std::ceil(-std::log10(unit) - 1e-9)), 0, 12); }
};

Axis make_axis(double low, double high, int marks) {
  const double least = 1e-6 * std::max({1.0, std::abs(low), std::abs(high)});  // a flat curve is a line in the middle
  if (high - low < least) low -= least / 2, high += least / 2;
  const double rough = (high - low) / marks, power = std::pow(10, std::floor(std::log10(rough)));
  const double factor = rough / power;
  const double unit = power * (factor <= 1 ? 1 : factor <= 2 ? 2 : factor <= 5 ? 5 : 10);
  return {std::floor(low / unit) * unit, std::ceil(high / unit) * unit, unit};
}

constexpr double plot_width = 760, plot_height = 280, left = 56, right = 16, top = 12, bottom = 40;  // user units

double x_of(const Axis& axis, double step) { return left + axis.at(step) * (plot_width - left - right); }
double y_of(const Axis& axis, double loss) {
  return plot_height - bottom - axis.at(loss) * (plot_height - top - bottom);
}

std::string svg_text(double x, double y, const char* anchor, const std::string& text) {
  return concat("<text x=\"", number(x, 1), "\" y=\"", number(y, 1), "\" text-anchor=\"", anchor, "\">", text,
                "</text>\n");
}
std::string svg_line(double x1, double y1, double x2, double y2) {
  return concat("<line x1=\"", number(x1, 1), "\" y1=\"", number(y1, 1), "\" x2=\"", number(x2, 1), "\" y2=\"",
                number(y2, 1), "\"/>\n");
}

std::string svg_grid(const Axis& steps, const Axis& losses) {
  std::string out = "<g class=\"grid\">\n";
  const double floor = plot_height - bottom;
  for (int i = 0; i <= losses.marks(); ++i) {
    const double y = y_of(losses, losses.mark(i));
    out += svg_line(left, y, plot_width - right, y);
    out += svg_text(left - 8, y + 4, "end", number(losses.mark(i), losses.decimals()));
  }
  for (int i = 0; i <= steps.marks(); ++i) {
    const double x = x_of(steps, steps.mark(i));
    out += svg_line(x, floor, x, floor + 4);
    out += svg_text(x, floor + 18, "middle", number(steps.mark(i), steps.decimals()));
  }
  return out + svg_text((left + plot_width - right) / 2, plot_height - 4, "middle", "step") + "</g>\n";
}

// The path of the curve; it breaks where the loss was not finite.
std::string svg_path(const std::vector<Point>& points, const Axis& steps, const Axis& losses) {
  std::string path;
  bool drawing = false;
  for (const Point& point : points) {
    if (!std::isfinite(point.loss)) {
      drawing = false;
      continue;
    }
    path += concat(drawing ? 'L' : 'M', number(x_of(steps, point.step), 1), ' ', number(y_of(losses, point.loss), 1));
    if (!drawing) path += "h0";  // with round caps, a point without neighbours is a dot
    drawing = true;
  }
  return concat("<path class=\"curve\" d=\"", path, "\"/>\n");
}

std::string loss_curve(const std::vector<Point>& all) {
  const std::vector<Point> points = thin_out(all);
  std::vector<double> losses;
  for (const Point& point : points) {
    if (std::isfinite(point.loss)) losses.push_back(point.loss);
  }
  if (losses.empty()) return "<p>No finite loss was logged.</p>\n";
  const auto [low, high] = std::minmax_element(losses.begin(), losses.end());
  const Axis y = make_axis(*low, *high, 5), x = make_axis(points.front().step, points.back().step, 8);
  return concat("<svg viewBox=\"0 0 ", number(plot_width, 0), " ", number(plot_height, 0),
                "\" role=\"img\" aria-label=\"Training loss over steps\">\n", svg_grid(x, y), svg_path(points, x, y),
                "</svg>\n<p class=\"note\">From ", number(all.front().loss, 3), " to ", number(all.back().loss, 3),
                " over ", format_count(std::llround(all.back().step)), " steps.</p>\n");
}

std::string cell(const Json& scores, const char* direction, const char* figure, int decimals) {
  const auto way = scores.find(direction);
  const Json found = way != scores.end() && way->is_object() && way->contains(figure) ? (*way)[figure] : Json();
  return concat("<td>", number(number_or_nan(found), decimals), "</td>");
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
      "<div class=\"wide\"><table>\n<thead><tr><th rowspan=\"2\" scope=\"col\">split</th>"
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

constexpr const char* style = R"(
:root { color-scheme: light dark; --text: #1c1e21; --soft: #667; --line: #d8dadf; --page: #fff; --curve: #1f6fd0; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6e7ea; --soft: #9aa0ab; --line: #3a3e46; --page: #16181c; --curve: #6fb0ff; }
}
body { margin: 2rem auto; max-width: 52rem; padding: 0 1rem; font: 16px/1.5 system-ui, sans-serif; color: var(--text);
       background: var(--page); }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.5rem; }
dt, .note { color: var(--soft); } dd { margin: 0; } .note { font-size: .9rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%; }
th, td { padding: .3rem .6rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { font-weight: 600; } th[scope=row], th[rowspan] { text-align: left; } th[scope=colgroup] { text-align: center; }
svg { width: 100%; height: auto; } .grid line { stroke: var(--line); } .grid text { fill: var(--soft); font-size: 12px; }
.curve { fill: none; stroke: var(--curve); stroke-width: 2; stroke-linecap: round; stroke-linejoin: round; }
pre { overflow-x: auto; padding: 1rem; border: 1px solid var(--line); font-size: .85rem; }
)";

std::string fact_list(const Facts& facts) {
  if (facts.empty()) return "";
  std::string out = "<dl>\n";
  for (const auto& [label, value] : facts) out += concat("<dt>", escape(label), "</dt><dd>", escape(value), "</dd>\n");
  return out + "</dl>\n";
}

std::string config_section(const std::string& path) {
  if (::access(path.c_str(), R_OK) != 0) return "";
  return concat("<h2>Configuration</h2>\n<details><summary>config.json</summary>\n<pre>", escape(io::read_file(path)),
                "</pre>\n</details>\n");
}

}  // namespace

std::string format_count(long long count) {
  std::string digits = std::to_string(count);
  const std::size_t first = count < 0 ? 1 : 0;
  for (std::size_t i = digits.size(); i > first + 3;) digits.insert(i -= 3, 1, ',');
  return digits;
}

void write_report(const std::string& run_folder, const std::string& title, const Facts& facts) {
  const Metrics metrics = read_metrics(run_folder + "/metrics.jsonl");
  io::write_file(
      run_folder + "/report.html",
      concat("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
             "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<title>",
             escape(title), "</title>\n<style>", style, "</style>\n</head>\n<body>\n<h1>", escape(title), "</h1>\n",
             fact_list(facts), "<h2>Loss</h2>\n", loss_curve(metrics.losses), "<h2>Retrieval</h2>\n",
             score_table(metrics.splits), config_section(run_folder + "/config.json"), "</body>\n</html>\n"));
}

}  // namespace fovea::train
