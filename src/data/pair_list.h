// Lists of pairs too long for memory, read block by block. Private to the sources.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fovea/core/parallel.h"
#include "fovea/data/curate.h"
#include "io/input.h"

namespace fovea::data::detail {

// Some lines of one file; where they are and which rows they hold.
struct PairBlock {
  std::int64_t file = 0, begin = 0, end = 0;  // bytes
  std::int64_t first_line = 1;
  std::int64_t first_row = 0, rows = 0;         // of all rows of all files
  std::int64_t spill_begin = 0, spill_end = 0;  // in the file of the rows' words
};

// A cell that a column's name asked for.
enum class Cell : std::uint8_t { image, caption, width, height, split, language, unsafe, count };

struct PairRow {
  std::string_view line;  // without its end
  std::int64_t line_number = 0;
  std::string_view cells[static_cast<std::size_t>(Cell::count)];  // empty where there is none
  std::string problem;                                            // why the row cannot be used; empty: it can
  bool repaired = false;                                          // of JSON: bytes that were not UTF-8 became U+FFFD

  std::string_view operator[](Cell cell) const { return cells[static_cast<std::size_t>(cell)]; }
};

using AddedCells = std::vector<std::pair<std::string, std::string>>;  // names of columns, and values

class PairList {
 public:
  // Opens the files and reads their headers. Picture paths will start from `output_folder`. Throws Error for files that
  // cannot be read, of a kind that is not read, of several kinds, or without the columns.
  PairList(const std::vector<std::string>& paths, const PairColumns& columns, const std::string& output_folder,
           std::int64_t block_bytes);

  bool is_json() const { return format_ == Format::jsonl; }
  // The line with the columns' names, without its end; empty when there is none.
  const std::string& header() const { return header_; }
  bool has(Cell cell) const;
  std::string place(const PairBlock& block, std::int64_t line) const;
  // Changes when a file does, as far as its size and time of change tell.
  std::string fingerprint() const;

  // The next block in the order of files and lines; false at the end. `first_row` and `rows` are the caller's.
  bool next(PairBlock& block, std::string& text);
  // A block that was read before.
  std::string read(const PairBlock& block) const;

  // Calls row(PairRow&) for each row of a block, whose text this is. May be called from several threads.
  void for_each_row(const PairBlock& block, std::string_view text, FunctionRef<void(PairRow&)> row) const;

  // What the picture's cell becomes in the output, and what tells pictures apart.
  std::string output_image(const PairBlock& block, std::string_view image) const;
  // Where the picture is.
  std::string image_path(const PairBlock& block, std::string_view image) const;
  // A row as the output has it, with values for more columns; appended with the line's end.
  void append_output(const PairBlock& block, const PairRow& row, const AddedCells& added, std::string& out) const;

 private:
  enum class Format : std::uint8_t { tsv, jsonl, text };
  struct File {
    std::string path, folder, prefix;  // of picture paths: what leads from the output's folder to the list's
    std::unique_ptr<io::detail::Input> input;
    std::int64_t body = 0, body_line = 1;  // where the rows begin
  };

  void open(const std::string& path, const std::string& output_folder);
  void read_header(File& file);
  void find_columns(const std::string& source);
  void parse_tsv(PairRow& row) const;
  void parse_json(PairRow& row, std::string& values) const;
  void append_json(const PairRow& row, const std::string& image, const AddedCells& added, std::string& out) const;
  void append_cells(std::string_view line, std::string& out) const;

  PairColumns columns_;
  Format format_ = Format::tsv;
  std::string header_;
  std::vector<int> cell_of_;  // of each TSV column: the Cell, or -1
  bool has_[static_cast<std::size_t>(Cell::count)] = {};
  std::vector<File> files_;
  std::int64_t block_bytes_;
  std::size_t file_ = 0;  // where next() stands
  std::int64_t at_ = 0, line_ = 1;
};

}  // namespace fovea::data::detail
