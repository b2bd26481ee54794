// The figures of a run, one JSON object a line: what plots and comparisons are made from.
#pragma once

#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "fovea/core/export.h"
#include "fovea/eval/retrieval.h"

namespace fovea::train {

// Scores of one split in both directions.
struct SplitScores {
  std::string split;
  eval::RetrievalScores i2t, t2i;
};

using Figures = std::vector<std::pair<std::string, double>>;  // in the order they are to be read

// {"step": 20, "loss": 3.1, "lr": 0.001}. Numbers that are not finite become null.
FOVEA_API std::string training_line(std::int64_t step, const Figures& figures);

// {"step": 20, "eval": {"test_style": {"i2t": {"r1": 28.0, "r5": ..., "r10": ..., "median_rank": 4, "mean_rank": ...,
// "queries": ..., "candidates": ...}, "t2i": {...}}, ...}}
FOVEA_API std::string evaluation_line(std::int64_t step, std::span<const SplitScores> splits);

// Takes out of a file of such lines what a run resumed after `step` will write again: training lines of later steps,
// evaluation lines of this and later ones, and an incomplete last line. Nothing happens when there is no such file.
// Throws Error naming the line that is not one of these.
FOVEA_API void drop_lines_after(const std::string& path, std::int64_t step);

// Appends lines to a file, each flushed at once, so that a run can be watched and an interrupted one keeps its figures.
class FOVEA_API MetricsLog {
 public:
  // Continues an existing file; a last line that an interruption left incomplete is dropped. Throws Error when the file
  // cannot be written.
  explicit MetricsLog(const std::string& path);
  ~MetricsLog();
  MetricsLog(const MetricsLog&) = delete;
  MetricsLog& operator=(const MetricsLog&) = delete;

  void flush_to_disk();  // so that a loss of power spares what was written until now

  // Both throw Error when the line cannot be written.
  void write_training(std::int64_t step, const Figures& figures) { append(training_line(step, figures)); }
  void write_evaluation(std::int64_t step, std::span<const SplitScores> splits) {
    append(evaluation_line(step, splits));
  }

 private:
  void append(const std::string& line);

  std::string path_;
  std::FILE* file_;
};

}  // namespace fovea::train
