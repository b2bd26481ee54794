// Tables of text: TSV, CSV and JSONL files.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fovea/core/export.h"

namespace fovea::data {

enum class TableFormat : std::uint8_t {
  by_name,  // .csv; .jsonl, .ndjson or .json; anything else is TSV, or CSV when a separator other than tab is given
  tsv,      // one row a line, cells separated by tabs, no quoting
  csv,      // RFC 4180: cells may stand in double quotes, and then hold separators, line ends and doubled quotes
  jsonl,    // one JSON object a line
};

struct TableOptions {
  TableFormat format = TableFormat::by_name;
  char separator = 0;  // of CSV; 0: a comma where the first line has one, otherwise a tab or semicolon if it has that
};

// The separator that a user names: one character, "tab" or "\\t"; 0 for "". Throws Error for anything else.
FOVEA_API char parse_separator(std::string_view text);

// A table of text. The first line of TSV and CSV names the columns. The columns of JSONL are the keys with text, or
// with a list of texts (a cell of several values); other values are ignored, and a row may lack any of them. Lines may
// end in CR LF, the file may begin with a byte-order mark, and empty lines of CSV and JSONL are passed over. Cells of
// TSV and CSV are bytes as they stand in the file; JSON is repaired to UTF-8 before it is read.
class FOVEA_API Table {
 public:
  // Throws Error, naming file and line, when a line has not as many cells as there are columns, a quote is not closed,
  // or a line is no JSON object.
  static Table read(const std::string& path, const TableOptions& options = {});

  // As read, from memory; `source` is what messages call the file, and what `by_name` looks at.
  static Table parse(std::string text, const std::string& source, const TableOptions& options = {});

  // An empty table, for rows added one by one.
  Table(std::string source, std::vector<std::string> columns);
  // The values of one cell per column.
  void add_row(std::span<const std::vector<std::string>> cells);

  const std::string& source() const { return source_; }
  std::int64_t rows() const { return static_cast<std::int64_t>(row_begins_.size()) - 1; }
  const std::vector<std::string>& columns() const { return columns_; }

  // The number of a column. Throws Error naming the columns there are, and the likely cause.
  std::int64_t column(std::string_view name) const;

  // The only value of a cell, the first of several, or "" when there is none. Throws Error outside the table.
  std::string_view cell(std::int64_t row, std::int64_t column) const;
  // All values of a cell: exactly one in TSV and CSV.
  std::vector<std::string_view> values(std::int64_t row, std::int64_t column) const;

  // Rows of JSONL with bytes that were not UTF-8, which became U+FFFD.
  const std::vector<std::int64_t>& repaired_rows() const { return repaired_rows_; }

  // "file:line" of a row, for messages.
  std::string place(std::int64_t row) const;

 private:
  struct Value {
    std::size_t begin, length;  // in text_
    std::int32_t column;
  };
  friend class TableParser;

  std::span<const Value> find(std::int64_t row, std::int64_t column) const;
  std::string_view text_of(const Value& value) const {
    return std::string_view(text_).substr(value.begin, value.length);
  }

  std::string source_, text_;
  std::vector<std::string> columns_;
  std::vector<Value> values_;  // of one row after another, by column
  std::vector<std::size_t> row_begins_{0};
  std::vector<std::int64_t> lines_;  // of each row; empty when rows were added by hand
  std::vector<std::int64_t> repaired_rows_;
};

}  // namespace fovea::data
