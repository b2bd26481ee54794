#include "fovea/train/comparison.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "eval/chart.h"
#include "eval/page.h"
#include "fovea/io/file.h"
#include "fovea/train/config.h"
#include "io/json_fields.h"

namespace fovea::train {
namespace {

using Json = nlohmann::ordered_json;
using eval::detail::fixed;

// Half the width of the 95 % interval of the mean.
double interval_of(const std::vector<Comparison::Run>& runs, double mean) {
  constexpr double student[]{12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262};  // by n - 2
  const std::size_t n = runs.size();
  if (n < 2) return 0;
  double squares = 0;
  for (const Comparison::Run& run : runs) squares += (run.value - mean) * (run.value - mean);
  const double quantile = n - 2 < std::size(student) ? student[n - 2] : 1.96;
  return quantile * std::sqrt(squares / static_cast<double>(n - 1) / static_cast<double>(n));
}

std::string value_of(const Config& config, const std::string& key, const std::string& folder) {
  const std::string text = config_value(config, key);
  FOVEA_CHECK(text != "not there", "[comparison] ", folder, "/config.json has no ", key);
  const bool quoted = text.size() >= 2 && text.front() == '"';
  return quoted ? text.substr(1, text.size() - 2) : text;
}

std::string series_name(const Config& config, const std::vector<std::string>& keys, const std::string& folder) {
  std::string name;
  for (const std::string& key : keys) name += (name.empty() ? "" : ", ") + value_of(config, key, folder);
  return name;
}

// The figure at each evaluation of a run, by step.
std::map<std::int64_t, double> figures_of(const std::string& folder, const ComparisonOptions& options) {
  const std::string path = folder + "/metrics.jsonl", contents = io::read_file(path);
  std::map<std::int64_t, double> figures;
  for (std::size_t begin = 0, end; begin < contents.size(); begin = end + 1) {
    end = std::min(contents.find('\n', begin), contents.size());
    const Json line = io::detail::parse_json<Json>(contents.substr(begin, end - begin), "[comparison] " + path);
    const Json* place = &line;
    for (const std::string& key : {std::string("eval"), options.split, options.direction, options.figure})
      place = place != nullptr && place->contains(key) ? &place->at(key) : nullptr;
    if (place != nullptr && place->is_number() && line.contains("step"))
      figures[line["step"].get<std::int64_t>()] = place->get<double>();
  }
  FOVEA_CHECK(!figures.empty(), "[comparison] ", path, " has no eval.", options.split, ".", options.direction, ".",
              options.figure, "\nhint: the run may not be finished, or does not score this split");
  return figures;
}

// The points that one run gives: x and value.
std::vector<std::pair<double, double>> points_of(const Config& config, const std::string& folder,
                                                 const ComparisonOptions& options) {
  const auto figures = figures_of(folder, options);
  std::vector<std::pair<double, double>> points;
  if (options.x == "samples") {
    const auto pairs = static_cast<double>(config.data.batch_size * config.train.accum_freq);
    for (const auto& [step, value] : figures) points.emplace_back(static_cast<double>(step) * pairs, value);
    return points;
  }
  const Json x = io::detail::parse_json<Json>(config_value(config, options.x), "[comparison] " + options.x);
  FOVEA_CHECK(x.is_number() && x.get<double>() > 0, "[comparison] ", folder, " has ", options.x, " ", x.dump(),
              ", expected a number above 0");
  return {{x.get<double>(), figures.rbegin()->second}};
}

Comparison::Point& find_point(Comparison::Series& series, double x) {
  auto& points = series.points;
  auto place = std::lower_bound(points.begin(), points.end(), x, [](const auto& p, double at) { return p.x < at; });
  if (place == points.end() || place->x != x) {
    place = points.insert(place, Comparison::Point());
    place->x = x;
  }
  return *place;
}

Comparison::Series& find_series(Comparison& comparison, const std::string& name) {
  for (Comparison::Series& series : comparison.series) {
    if (series.name == name) return series;
  }
  return comparison.series.emplace_back(Comparison::Series{name, {}});
}

void summarize(Comparison& comparison) {
  for (Comparison::Series& series : comparison.series) {
    for (Comparison::Point& point : series.points) {
      std::sort(point.runs.begin(), point.runs.end(), [](const auto& a, const auto& b) { return a.seed < b.seed; });
      point.mean = 0;
      for (const Comparison::Run& run : point.runs) point.mean += run.value / static_cast<double>(point.runs.size());
      point.interval = interval_of(point.runs, point.mean);
    }
  }
}

std::string figure_name(const ComparisonOptions& options) {
  const std::string figure = options.figure == "r1"    ? "R@1"
                             : options.figure == "r5"  ? "R@5"
                             : options.figure == "r10" ? "R@10"
                                                       : options.figure;
  return concat(figure, options.direction == "i2t" ? " image → text, " : " text → image, ", options.split);
}

// "R@1 image → text, test_style, percent".
std::string y_axis_name(const ComparisonOptions& options) {
  return figure_name(options) + (options.figure.starts_with('r') ? ", percent" : "");
}

std::string axis_name(const ComparisonOptions& options) { return options.x == "samples" ? "pairs seen" : options.x; }

}  // namespace

Comparison compare_runs(std::span<const std::string> run_folders, const ComparisonOptions& options) {
  Comparison comparison{options, {}};
  for (const std::string& folder : run_folders) {
    const Config config = load_config(folder + "/config.json");
    Comparison::Series& series = find_series(comparison, series_name(config, options.series, folder));
    for (const auto& [x, value] : points_of(config, folder, options)) {
      Comparison::Point& point = find_point(series, x);
      for (const Comparison::Run& run : point.runs) {
        FOVEA_CHECK(run.seed != config.train.seed, "[comparison] ", folder, " has the seed ", run.seed,
                    " of another run of ", series.name, "\nhint: name the key that tells them apart as one of series");
      }
      point.runs.push_back({config.train.seed, value});
    }
  }
  summarize(comparison);
  return comparison;
}

std::string to_json(const Comparison& comparison) {
  const ComparisonOptions& o = comparison.options;
  Json series = Json::array();
  for (const Comparison::Series& s : comparison.series) {
    Json points = Json::array();
    for (const Comparison::Point& p : s.points) {
      Json runs = Json::array();
      for (const Comparison::Run& run : p.runs) runs.push_back({{"seed", run.seed}, {"value", run.value}});
      points.push_back({{"x", p.x}, {"mean", p.mean}, {"interval", p.interval}, {"runs", runs}});
    }
    series.push_back({{"name", s.name}, {"points", points}});
  }
  return io::detail::to_text(Json{{"keys", o.series},
                                  {"x", o.x},
                                  {"split", o.split},
                                  {"direction", o.direction},
                                  {"figure", o.figure},
                                  {"series", series}},
                             2) +
         "\n";
}

Comparison parse_comparison(const std::string& text, const std::string& source) {
  const Json json = io::detail::parse_json<Json>(text, "[comparison] " + source);
  try {
    Comparison comparison;
    ComparisonOptions& o = comparison.options;
    o = {json.at("keys").get<std::vector<std::string>>(), json.at("x").get<std::string>(),
         json.at("split").get<std::string>(), json.at("direction").get<std::string>(),
         json.at("figure").get<std::string>()};
    for (const Json& s : json.at("series")) {
      Comparison::Series series{s.at("name").get<std::string>(), {}};
      for (const Json& p : s.at("points")) {
        Comparison::Point& point = find_point(series, p.at("x").get<double>());
        for (const Json& run : p.at("runs"))
          point.runs.push_back({run.at("seed").get<std::uint64_t>(), run.at("value").get<double>()});
      }
      comparison.series.push_back(std::move(series));
    }
    summarize(comparison);
    return comparison;
  } catch (const Json::exception& error) {
    fail("[comparison] ", source, " is no comparison of runs: ", error.what());
  }
}

eval::ScoreTable to_table(const Comparison& comparison) {
  eval::ScoreTable table{
      y_axis_name(comparison.options), {"series", axis_name(comparison.options), "mean", "95 % ±", "runs"}, {}};
  for (const Comparison::Series& series : comparison.series) {
    for (const Comparison::Point& point : series.points)
      table.rows.push_back({series.name, fixed(point.x, 0), fixed(point.mean, 2),
                            point.runs.size() > 1 ? fixed(point.interval, 2) : "–", std::to_string(point.runs.size())});
  }
  return table;
}

std::string to_svg(const Comparison& comparison, const std::string& title) {
  std::vector<eval::detail::Curve> curves;
  std::size_t runs = 0;
  for (const Comparison::Series& series : comparison.series) {
    eval::detail::Curve curve{series.name, {}};
    for (const Comparison::Point& point : series.points) {
      curve.points.push_back({point.x, point.mean, point.mean - point.interval, point.mean + point.interval});
      runs = std::max(runs, point.runs.size());
    }
    curves.push_back(std::move(curve));
  }
  const std::string note = runs > 1 ? concat("Means of ", runs, " seeds; bars: 95 % intervals of the means.") : "";
  return eval::detail::svg_document(
      title, curves, note,
      {axis_name(comparison.options), y_axis_name(comparison.options), comparison.options.x != "samples"});
}

}  // namespace fovea::train
