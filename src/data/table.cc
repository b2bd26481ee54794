#include "fovea/data/table.h"

#include <utf8proc.h>

#include <algorithm>

#include "fovea/core/error.h"
#include "fovea/core/suggest.h"
#include "fovea/io/file.h"

namespace fovea::data {
namespace {

bool is_utf8(std::string_view text) {
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  auto left = static_cast<utf8proc_ssize_t>(text.size());
  while (left > 0) {
    utf8proc_int32_t codepoint;
    const utf8proc_ssize_t length = utf8proc_iterate(bytes, left, &codepoint);
    if (length <= 0) return false;
    bytes += length;
    left -= length;
  }
  return true;
}

// Calls f with each piece of `text` between separators.
template <class F>
void split(std::string_view text, char separator, F&& f) {
  for (std::size_t begin = 0;;) {
    const std::size_t end = std::min(text.find(separator, begin), text.size());
    f(text.substr(begin, end - begin));
    if (end == text.size()) return;
    begin = end + 1;
  }
}

}  // namespace

Table Table::read(const std::string& path) {
  Table table;
  table.path_ = path;
  table.text_ = io::read_file(path);
  std::string_view text = table.text_;
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  FOVEA_CHECK(!text.empty(), "[table] ", path, " is empty, expected a line with the columns' names");
  if (text.ends_with('\n')) text.remove_suffix(1);
  std::int64_t number = 0;
  split(text, '\n', [&](std::string_view line) {
    if (line.ends_with('\r')) line.remove_suffix(1);
    table.add_line(line, ++number);
  });
  return table;
}

void Table::add_line(std::string_view line, std::int64_t number) {
  FOVEA_CHECK(is_utf8(line), "[table] ", path_, ":", number, " is not UTF-8");
  if (number == 1) return split(line, '\t', [this](std::string_view name) { columns_.emplace_back(name); });
  const std::size_t before = cells_.size();
  split(line, '\t', [this](std::string_view cell) {
    cells_.push_back({static_cast<std::size_t>(cell.data() - text_.data()), cell.size()});
  });
  FOVEA_CHECK(cells_.size() - before == columns_.size(), "[table] ", path_, ":", number, " has ",
              cells_.size() - before, cells_.size() - before == 1 ? " cell" : " cells", ", expected ", columns_.size(),
              "\nhint: cells are separated by tabs and must not contain any");
  ++rows_;
}

std::int64_t Table::column(std::string_view name) const {
  const auto found = std::find(columns_.begin(), columns_.end(), name);
  if (found != columns_.end()) return found - columns_.begin();
  std::string known;
  for (const std::string& column : columns_) known += (known.empty() ? "" : ", ") + column;
  const std::string nearest = nearest_name(name, columns_);
  fail("[table] ", path_, " has no column \"", name, "\", its columns are ", known,
       nearest.empty() ? "" : "\nhint: did you mean \"" + nearest + "\"?");
}

std::string_view Table::cell(std::int64_t row, std::int64_t column) const {
  const auto width = static_cast<std::int64_t>(columns_.size());
  FOVEA_CHECK(row >= 0 && row < rows_ && column >= 0 && column < width, "[table] ", path_, ": no cell (", row, ", ",
              column, ") in ", rows_, " rows of ", width);
  const Cell& cell = cells_[static_cast<std::size_t>(row * width + column)];
  return std::string_view(text_).substr(cell.begin, cell.length);
}

}  // namespace fovea::data
