// What an evaluation found, as tables for a terminal and as a page for people.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "fovea/eval/classification.h"
#include "fovea/eval/linear_probe.h"

namespace fovea::eval {

// Columns of figures are aligned to the right, others to the left.
struct ScoreTable {
  std::string title;
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;
  std::string note{};  // below the table
};

// The table as lines of text that are indented by two spaces, without title and note.
FOVEA_API std::string to_text(const ScoreTable& table);

// Of each class that has pictures: how many, what share of them is right, and what they are most often mistaken for.
FOVEA_API ScoreTable class_table(const ClassificationScores& scores, const std::vector<std::string>& classes);

struct EvaluationPage {
  struct Confusion {
    std::string title;
    std::vector<std::string> classes;
    std::vector<std::int64_t> counts;  // as in ClassificationScores
  };
  struct Sweep {
    std::string title;
    std::vector<SweepPoint> points;
  };

  std::string title;
  std::vector<std::pair<std::string, std::string>> facts;  // label and value
  std::vector<ScoreTable> tables;
  std::vector<Sweep> sweeps;
  std::vector<Confusion> confusions;
};

// Writes one HTML file without scripts or outside references. Throws Error when it cannot be written.
FOVEA_API void write_evaluation_page(const std::string& path, const EvaluationPage& page);

}  // namespace fovea::eval
