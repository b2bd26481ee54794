// Pairs of pictures and texts, listed in a table.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fovea/core/export.h"
#include "fovea/core/rng.h"
#include "fovea/data/table.h"

namespace fovea::data {

// A column of texts to train on.
struct TextColumn {
  std::string name;
  double weight = 1;           // how often it is drawn, relative to the other columns that are not empty in that row
  std::string separator = "";  // not empty: the cell is a list, of which a random part is drawn, in random order
};

struct DatasetOptions {
  std::string image_column = "image";
  std::vector<TextColumn> text_columns{{"caption"}};  // the first one is the text of evaluation
  std::string split_column = "split";                 // empty: the table has no splits
  std::string split;                                  // rows of this split only; empty: all rows
  TableOptions table;                                 // how a table's file is read
};

struct Text {
  std::string text;
  double weight = 1;
  std::string separator = "";  // as in TextColumn
};

struct Sample {
  std::string image_path;
  std::vector<Text> texts;  // the first is the text of evaluation, even when empty; the others are not empty
};

// The rows of one split. Picture paths start from the table's folder. Rows that name no picture are left out, and bytes
// of texts that are not UTF-8 become U+FFFD; both are counted in a warning that names the first such row.
class FOVEA_API ImageTextDataset {
 public:
  // `path` is a table (table.h); or a folder with one called captions or metadata (.tsv, .csv or .jsonl); or any other
  // folder of pictures (folder_table.h). A cell of several values is as many texts, which share the column's weight.
  // Throws Error for missing files and columns, and when the split has no rows (naming those that have).
  ImageTextDataset(const std::string& path, const DatasetOptions& options);

  std::int64_t size() const { return static_cast<std::int64_t>(samples_.size()); }
  const Sample& operator[](std::int64_t i) const { return samples_[static_cast<std::size_t>(i)]; }

  const std::string& eval_text(std::int64_t i) const { return (*this)[i].texts.front().text; }
  // One of the texts that are not empty, by weight; of a list, one to all of its entries, joined by ", ".
  std::string random_text(std::int64_t i, Rng& rng) const;

 private:
  std::vector<Sample> samples_;
};

// The splits of a table (`path` as above) in alphabetical order. Throws Error when there is no such table or column.
FOVEA_API std::vector<std::string> split_names(const std::string& path, const std::string& split_column,
                                               const TableOptions& options = {});

}  // namespace fovea::data
