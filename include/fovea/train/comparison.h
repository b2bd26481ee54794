// Runs beside each other: what one choice does to a score, with intervals over seeds.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "fovea/eval/evaluation_page.h"

namespace fovea::train {

struct ComparisonOptions {
  std::vector<std::string> series;  // keys of the configuration that tell the curves apart ("objective.name")
  std::string x = "samples";        // pairs seen, with a point for each evaluation; or a key with a number, with one
                                    // point for each run: its last evaluation
  std::string split;                // of the evaluations
  std::string direction = "i2t", figure = "r1";
};

struct Comparison {
  struct Run {
    std::uint64_t seed = 0;
    double value = 0;
  };
  struct Point {
    double x = 0, mean = 0;
    double interval = 0;  // half the width of the mean's 95 % interval (Student's t over the runs); 0 for one run
    std::vector<Run> runs;
  };
  struct Series {
    std::string name;  // the values of the keys
    std::vector<Point> points;
  };

  ComparisonOptions options;
  std::vector<Series> series;  // in order of their first run
};

// Reads config.json and metrics.jsonl of finished run folders. Throws Error naming the run that lacks the split, the
// figure or a key, and when two runs with the same seed are the same point.
FOVEA_API Comparison compare_runs(std::span<const std::string> run_folders, const ComparisonOptions& options);

// As JSON text, and back. Throws Error naming `source` for text that is none.
FOVEA_API std::string to_json(const Comparison& comparison);
FOVEA_API Comparison parse_comparison(const std::string& json, const std::string& source);

FOVEA_API eval::ScoreTable to_table(const Comparison& comparison);

// A figure: a curve for each series, with bars for the intervals. A key's axis is logarithmic.
FOVEA_API std::string to_svg(const Comparison& comparison, const std::string& title);

}  // namespace fovea::train
