#include "fovea/data/image_text_dataset.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <string_view>
#include <system_error>

#include "fovea/core/error.h"
#include "fovea/core/log.h"
#include "fovea/data/folder_table.h"
#include "fovea/text/clean.h"

namespace fovea::data {
namespace {

namespace fs = std::filesystem;

// A table, and the folder that its picture paths start from.
struct Source {
  Table table;
  fs::path folder;
};

Source open_source(const std::string& path, const TableOptions& options) {
  std::error_code error;
  FOVEA_CHECK(fs::exists(path, error), "[dataset] ", path, " does not exist, expected a table or a folder of pictures");
  if (!fs::is_directory(path, error)) return {Table::read(path, options), fs::path(path).parent_path()};
  for (const char* name : {"captions.tsv", "captions.csv", "captions.jsonl", "metadata.csv", "metadata.jsonl"}) {
    const fs::path file = fs::path(path) / name;
    if (fs::exists(file, error)) return {Table::read(file.string(), options), path};
  }
  return {read_folder(path), path};
}

std::int64_t find_split_column(const Table& table, const std::string& name) {
  try {
    return table.column(name);
  } catch (const Error& error) {
    fail(error.what(),
         "\nhint: when split_column is empty, all rows are used: train_clip --set data.split_column=, "
         "evaluate --split-column ''");
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

[[noreturn]] void fail_for_empty_split(const Table& table, const DatasetOptions& options, std::int64_t split_column) {
  FOVEA_CHECK(table.rows() > 0, "[dataset] ", table.source(),
              " has no rows, expected at least one picture with a text");
  FOVEA_CHECK(split_column >= 0, "[dataset] none of the ", table.rows(), " rows of ", table.source(),
              " names a picture in column \"", options.image_column, "\"");
  std::string known;
  for (const auto& [name, count] : count_splits(table, split_column))
    known += concat(known.empty() ? "" : ", ", name, " (", count, ")");
  fail("[dataset] ", table.source(), " has no rows of split \"", options.split, "\", its splits are ", known);
}

// Rows with something wrong that does not stop anybody.
struct Oddities {
  std::int64_t count = 0;
  std::string first;

  void add(const Table& table, std::int64_t row) {
    if (count++ == 0) first = table.place(row);
  }
  void warn(const Table& table, const char* what) const {
    if (count > 0)
      log::warning(table.source(), ": ", count, count == 1 ? " row " : " rows ", what, "; the first: ", first);
  }
};

// `repaired` becomes true when a text is not UTF-8.
std::vector<Text> read_texts(const Table& table, std::int64_t row, const Columns& columns,
                             const DatasetOptions& options, bool& repaired) {
  std::vector<Text> texts;
  for (std::size_t i = 0; i < columns.texts.size(); ++i) {
    const TextColumn& column = options.text_columns[i];
    const std::vector<std::string_view> values = table.values(row, columns.texts[i]);
    const double weight = column.weight / static_cast<double>(std::max<std::size_t>(values.size(), 1));
    for (const std::string_view value : values) {
      if (!texts.empty() && value.empty()) continue;
      texts.push_back({text::replace_invalid_utf8(value), weight, column.separator});
      repaired |= texts.back().text != value;
    }
    if (texts.empty()) texts.push_back({"", 0, ""});  // the text of evaluation is always there
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
  const auto [table, folder] = open_source(path, options.table);
  const Columns columns(table, options);
  Oddities nameless, repaired;
  for (std::int64_t row = 0; row < table.rows(); ++row) {
    if (columns.split >= 0 && table.cell(row, columns.split) != options.split) continue;
    const std::string_view picture = table.cell(row, columns.image);
    if (picture.empty()) {
      nameless.add(table, row);
      continue;
    }
    bool is_repaired = std::binary_search(table.repaired_rows().begin(), table.repaired_rows().end(), row);
    samples_.push_back({(folder / picture).string(), read_texts(table, row, columns, options, is_repaired)});
    if (is_repaired) repaired.add(table, row);
  }
  nameless.warn(table, "without a picture left out");
  repaired.warn(table, "with bytes that are not UTF-8, which became U+FFFD");
  if (samples_.empty()) fail_for_empty_split(table, options, columns.split);
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

std::vector<std::string> split_names(const std::string& path, const std::string& split_column,
                                     const TableOptions& options) {
  const Table table = open_source(path, options).table;
  std::vector<std::string> names;
  for (const auto& [name, count] : count_splits(table, find_split_column(table, split_column))) {
    if (!name.empty()) names.push_back(name);
  }
  return names;
}

}  // namespace fovea::data
