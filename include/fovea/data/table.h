// Tab-separated files.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "fovea/core/export.h"

namespace fovea::data {

// A table of text: UTF-8, one row a line, cells separated by tabs, the first line naming the columns. There is no
// quoting. Lines may end in CR LF, and the file may start with a byte-order mark.
class FOVEA_API Table {
 public:
  // Throws Error, naming file and line, when a line has not as many cells as there are columns, or is not UTF-8.
  static Table read(const std::string& path);

  std::int64_t rows() const { return rows_; }
  const std::vector<std::string>& columns() const { return columns_; }

  // The number of a column. Throws Error naming the columns there are, and the nearest.
  std::int64_t column(std::string_view name) const;

  std::string_view cell(std::int64_t row, std::int64_t column) const;

 private:
  struct Cell {
    std::size_t begin, length;
  };

  void add_line(std::string_view line, std::int64_t number);

  std::string path_, text_;
  std::vector<std::string> columns_;
  std::vector<Cell> cells_;  // (rows, columns), places in text_
  std::int64_t rows_ = 0;
};

}  // namespace fovea::data
