// The texts of data/emoji_clipart.
#pragma once

#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace fovea::shipped {

using Rows = std::vector<std::vector<std::string>>;

// A tab-separated table; the first row names the columns, and all rows have as many cells.
inline Rows read_table(const std::string& name) {
  const std::string path = std::string(FOVEA_SOURCE_DIR) + "/data/emoji_clipart/" + name;
  std::ifstream in(path);
  Rows rows;
  for (std::string line; std::getline(in, line);) {
    std::istringstream cells(line);
    rows.emplace_back();
    for (std::string cell; std::getline(cells, cell, '\t');) rows.back().push_back(cell);
    rows.back().resize(rows.front().size());
  }
  if (rows.empty()) throw std::runtime_error("cannot read " + path);
  return rows;
}

// Captions, alternative captions, keywords, and the labels in 17 languages; of all splits, or of one.
inline std::vector<std::string> texts(const std::string& split = "") {
  std::vector<std::string> out;
  const auto add = [&](const std::string& table, std::size_t split_column, std::size_t first, std::size_t last) {
    const Rows rows = read_table(table);
    for (std::size_t r = 1; r < rows.size(); ++r) {
      if (!split.empty() && rows[r][split_column] != split) continue;
      out.insert(out.end(), rows[r].begin() + static_cast<std::ptrdiff_t>(first),
                 rows[r].begin() + static_cast<std::ptrdiff_t>(last));
    }
  };
  add("captions.tsv", 1, 2, 5);
  add("labels.tsv", 2, 5, 22);
  return out;
}

}  // namespace fovea::shipped
