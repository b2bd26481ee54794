#include "fovea/data/image_text_dataset.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <string_view>
#include <system_error>

#include "fovea/core/error.h"
#include "fovea/data/table.h"

namespace fovea::data {
namespace {

namespace fs = std::filesystem;

// The file that a path of a table, or of a folder with captions.tsv, means.
fs::path table_file(const std::string& path) {
  std::error_code error;
  FOVEA_CHECK(fs::exists(path, error), "[dataset] ", path,
              " does not exist, expected a folder with captions.tsv, or a table");
  return fs::is_directory(path, error) ? fs::path(path) / "captions.tsv" : fs::path(path);
}

std::int64_t find_split_column(const Table& table, const std::string& name) {
  try {
    return table.column(name);
  } catch (const Error& error) {
    fail(error.what(), "\nhint: when split_column is empty, all rows are used");
  }
}

// The columns that the options name, found once.
struct Columns {
  std::int64_t image, split = -1;
  std::vector<std::int64_t> texts;

  Columns(const Table& table, const DatasetOptions& options) : image(table.column(options.image_column)) {
    for (const TextColumn& column : options.text_columns) texts.push_back(table.column(column.name));
    if (!options.split.empty()) split = find_split_column(table, options.split_column);
  }
};

void check(const DatasetOptions& options) {
  FOVEA_CHECK(options.split.empty() || !options.split_column.empty(), "[dataset] split \"", options.split,
              "\" is asked for, but split_column is empty, which means that there are no splits");
  FOVEA_CHECK(!options.text_columns.empty(), "[dataset] no text columns, expected at least one");
  for (const TextColumn& column : options.text_columns) {
    FOVEA_CHECK(column.weight >= 0, "[dataset] weight of column \"", column.name, "\" is ", column.weight,
                ", expected at least 0");
  }
}

// Every split with the number of its rows.
std::map<std::string, std::int64_t> count_splits(const Table& table, std::int64_t split_column) {
  std::map<std::string, std::int64_t> counts;
  for (std::int64_t row = 0; row < table.rows(); ++row) ++counts[std::string(table.cell(row, split_column))];
  return counts;
}

[[noreturn]] void fail_for_empty_split(const Table& table, const std::string& file, const DatasetOptions& options,
                                       std::int64_t split_column) {
  FOVEA_CHECK(table.rows() > 0, "[dataset] ", file, " has no rows");
  std::string known;
  for (const auto& [name, count] : count_splits(table, split_column))
    known += concat(known.empty() ? "" : ", ", name, " (", count, ")");
  fail("[dataset] ", file, " has no rows of split \"", options.split, "\", its splits are ", known);
}

std::vector<Text> read_texts(const Table& table, std::int64_t row, const Columns& columns,
                             const DatasetOptions& options) {
  std::vector<Text> texts;
  for (std::size_t i = 0; i < columns.texts.size(); ++i) {
    const TextColumn& column = options.text_columns[i];
    const std::string_view cell = table.cell(row, columns.texts[i]);
    if (i == 0 || !cell.empty()) texts.push_back({std::string(cell), column.weight, column.separator});
  }
  return texts;
}

// Some of the entries, at least one, in random order.
std::string random_part(std::string_view list, std::string_view separator, Rng& rng) {
  std::vector<std::string_view> entries;
  for (std::size_t begin = 0; begin <= list.size();) {
    const std::size_t end = std::min(list.find(separator, begin), list.size());
    if (end > begin) entries.push_back(list.substr(begin, end - begin));
    begin = end + separator.size();
  }
  if (entries.empty()) return "";
  rng.shuffle(entries);
  entries.resize(static_cast<std::size_t>(1 + rng.below(static_cast<std::int64_t>(entries.size()))));
  std::string joined;
  for (const std::string_view entry : entries) joined += (joined.empty() ? "" : ", ") + std::string(entry);
  return joined;
}

}  // namespace

ImageTextDataset::ImageTextDataset(const std::string& path, const DatasetOptions& options) {
  check(options);
  const fs::path file = table_file(path);
  const Table table = Table::read(file.string());
  const Columns columns(table, options);
  for (std::int64_t row = 0; row < table.rows(); ++row) {
    if (columns.split >= 0 && table.cell(row, columns.split) != options.split) continue;
    samples_.push_back(
        {(file.parent_path() / table.cell(row, columns.image)).string(), read_texts(table, row, columns, options)});
  }
  if (samples_.empty()) fail_for_empty_split(table, file.string(), options, columns.split);
}

std::string ImageTextDataset::random_text(std::int64_t i, Rng& rng) const {
  const std::vector<Text>& texts = (*this)[i].texts;
  const auto weight = [](const Text& text) { return text.text.empty() ? 0.0 : text.weight; };
  double total = 0;
  for (const Text& text : texts) total += weight(text);
  double left = rng.uniform() * total;
  const Text* chosen = &texts.front();
  for (const Text& text : texts) {
    if (weight(text) == 0) continue;
    chosen = &text;
    if ((left -= weight(text)) < 0) break;
  }
  return chosen->separator.empty() ? chosen->text : random_part(chosen->text, chosen->separator, rng);
}

std::vector<std::string> split_names(const std::string& path, const std::string& split_column) {
  const Table table = Table::read(table_file(path).string());
  std::vector<std::string> names;
  for (const auto& [name, count] : count_splits(table, find_split_column(table, split_column))) {
    if (!name.empty()) names.push_back(name);
  }
  return names;
}

}  // namespace fovea::data
