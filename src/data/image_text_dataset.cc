#include "fovea/data/image_text_dataset.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <system_error>

#include "data/sample_texts.h"
#include "fovea/core/error.h"
#include "fovea/core/log.h"
#include "fovea/data/coco.h"
#include "fovea/data/folder_table.h"
#include "fovea/data/shard_list.h"

namespace fovea::data {
namespace {

namespace fs = std::filesystem;

// A table, and the folder that its picture paths start from.
struct Source {
  Table table;
  fs::path folder;
};

// The table that a folder holds; "" when there is none.
std::string table_in(const std::string& folder) {
  for (const char* name : {"captions.tsv", "captions.csv", "captions.jsonl", "metadata.csv", "metadata.jsonl"}) {
    const fs::path file = fs::path(folder) / name;
    if (std::error_code unknown; fs::exists(file, unknown)) return file.string();
  }
  return "";
}

void check_exists(const std::string& path) {
  std::error_code unknown;
  FOVEA_CHECK(fs::exists(path, unknown), "[dataset] ", path,
              " does not exist, expected a table or a folder of pictures");
}

// Everything but shards.
Source open_source(const std::string& path, const TableOptions& options, DatasetType type) {
  check_exists(path);
  std::error_code unknown;
  const bool is_folder = fs::is_directory(path, unknown);
  if (type == DatasetType::coco) {
    Table table = read_coco(path);
    FOVEA_CHECK(table.rows() > 0, "[dataset] ", path, " has no picture with a caption");
    const std::string root = coco_image_root(path, std::string(table.cell(0, 0)));
    return {std::move(table), root};
  }
  if (type == DatasetType::folder) return {read_folder(path), path};
  const std::string file = is_folder ? table_in(path) : path;
  FOVEA_CHECK(!file.empty(), "[dataset] the folder ", path,
              " holds no table called captions or metadata (.tsv, .csv or .jsonl)");
  return {Table::read(file, options), is_folder ? fs::path(path) : fs::path(path).parent_path()};
}

DatasetType type_of(const std::string& path, DatasetType type) {
  return type == DatasetType::automatic ? detect_dataset_type(path) : type;
}

bool knows_splits(DatasetType type) { return type == DatasetType::csv || type == DatasetType::folder; }

std::int64_t find_split_column(const Table& table, const std::string& name) {
  try {
    return table.column(name);
  } catch (const Error& error) {
    fail(error.what(),
         "\nhint: when split_column is empty, all rows are used: train_clip --set data.split_column=, "
         "evaluate --split-column ''");
  }
}

// A second table, whose rows are found by the value that they share with the first one's.
class Join {
 public:
  Join(const Table& table, const fs::path& folder, const DatasetOptions& options)
      : table_(Table::read((folder / options.join).string(), options.table)), key_(table.column(options.join_column)) {
    const std::int64_t own_key = table_.column(options.join_column);
    for (std::int64_t row = 0; row < table_.rows(); ++row) {
      const std::string_view value = table_.cell(row, own_key);
      const auto [known, is_new] = rows_.emplace(value, row);
      FOVEA_CHECK(is_new || value.empty(), "[dataset] ", table_.place(row), " has the same ", options.join_column,
                  " \"", value, "\" as ", table_.place(known->second), ", expected every one once in a joined table");
    }
  }

  const Table& table() const { return table_; }
  // The row that belongs to one of the first table; -1 when there is none.
  std::int64_t partner(const Table& table, std::int64_t row) const {
    const std::string_view value = table.cell(row, key_);
    const auto found = value.empty() ? rows_.end() : rows_.find(value);
    return found == rows_.end() ? -1 : found->second;
  }

 private:
  Table table_;
  std::int64_t key_;
  std::map<std::string_view, std::int64_t> rows_;
};

// A column of the table, or of the one that is joined to it.
struct Column {
  bool joined = false;
  std::int64_t number = -1;
};

Column find_column(const Table& table, const Join* join, const std::string& name) {
  const auto has = [&](const Table& t) {
    return std::find(t.columns().begin(), t.columns().end(), name) != t.columns().end();
  };
  if (join && !has(table) && has(join->table())) return {true, join->table().column(name)};
  return {false, table.column(name)};
}

// The columns that the options name, found once.
struct Columns {
  std::int64_t image, split = -1;
  std::vector<Column> texts;
  Column language;

  Columns(const Table& table, const Join* join, const DatasetOptions& options)
      : image(table.column(options.image_column)) {
    for (const TextColumn& column : options.text_columns) texts.push_back(find_column(table, join, column.name));
    if (!options.language_column.empty()) language = find_column(table, join, options.language_column);
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

// Gathers the samples of plain shards, whose pictures stay where they are.
class ShardSamples {
 public:
  ShardSamples(const std::string& path, const DatasetOptions& options)
      : path_(path), every_text_(options.every_text), columns_(options) {
    FOVEA_CHECK(options.join.empty() && options.image_root.empty(), "[dataset] ", path,
                " is a webdataset, which has neither a table to join nor an image_root");
    for (const Shard& shard : list_shards(path)) read(shard.path);
  }

  std::vector<Sample> take() && {
    FOVEA_CHECK(compressed_.empty(), "[dataset] ", compressed_, " is compressed, which only training can read",
                "\nhint: evaluation looks pictures up; decompress the shard (gunzip, unzstd)");
    FOVEA_CHECK(!samples_.empty(), "[dataset] ", path_, " holds no usable sample",
                left_out_ > 0 ? "; the first of " + std::to_string(left_out_) + ": " : "", reason_);
    if (left_out_ > 0) log::warning(path_, ": ", left_out_, " samples are left out; the first: ", reason_);
    return std::move(samples_);
  }

 private:
  void read(const std::string& shard) {
    try {
      ShardReader reader(shard, columns_.text_suffixes());
      while (const std::optional<ShardSample> sample = reader.next()) {
        if (sample->members.front().offset < 0) return void(compressed_ = shard);
        add(shard, *sample);
      }
    } catch (const Error& error) {
      leave_out(error.what());
    }
  }
  void add(const std::string& shard, const ShardSample& sample) {
    try {
      const ShardMember& picture = columns_.picture(sample);
      bool repaired = false;
      for (std::vector<Text>& part : detail::samples_of(columns_.texts(sample, repaired), every_text_)) {
        samples_.push_back({io::member_path(shard, picture.offset, picture.bytes, picture.name), std::move(part)});
      }
    } catch (const Error& error) {
      leave_out(concat(shard, ": ", error.what()));
    }
  }
  void leave_out(const std::string& reason) {
    if (left_out_++ == 0) reason_ = reason;
  }

  std::string path_;
  bool every_text_;
  detail::ShardColumns columns_;
  std::vector<Sample> samples_;
  std::string compressed_, reason_;
  std::int64_t left_out_ = 0;
};

}  // namespace

DatasetType parse_dataset_type(const std::string& name) {
  if (name == "auto") return DatasetType::automatic;
  if (name == "webdataset") return DatasetType::webdataset;
  if (name == "csv") return DatasetType::csv;
  if (name == "coco") return DatasetType::coco;
  FOVEA_CHECK(name == "folder", "[dataset] the type of a data set is \"", name,
              "\", expected auto, webdataset, csv, coco or folder");
  return DatasetType::folder;
}

DatasetType detect_dataset_type(const std::string& path) {
  std::error_code unknown;
  const bool is_folder = fs::is_directory(path, unknown);
  if (is_folder && !table_in(path).empty()) return DatasetType::csv;
  if (names_shards(path)) return DatasetType::webdataset;
  check_exists(path);
  if (is_folder) return DatasetType::folder;
  return path.ends_with(".json") && is_coco(path) ? DatasetType::coco : DatasetType::csv;
}

ImageTextDataset::ImageTextDataset(const std::string& path, const DatasetOptions& options) {
  check(options);
  const DatasetType type = type_of(path, options.type);
  if (type == DatasetType::webdataset) {
    samples_ = ShardSamples(path, options).take();
    return;
  }
  auto [table, folder] = open_source(path, options.table, type);
  std::optional<Join> join;
  if (!options.join.empty()) join.emplace(table, folder, options);
  if (!options.image_root.empty()) folder = options.image_root;
  DatasetOptions known = options;
  if (!knows_splits(type)) known.split = "";
  const Columns columns(table, join ? &*join : nullptr, known);
  Oddities nameless, repaired, alone;
  for (std::int64_t row = 0; row < table.rows(); ++row) {
    if (columns.split >= 0 && table.cell(row, columns.split) != known.split) continue;
    const std::string_view picture = table.cell(row, columns.image);
    const std::int64_t partner = join ? join->partner(table, row) : -1;
    if (picture.empty() || (join && partner < 0)) {
      (picture.empty() ? nameless : alone).add(table, row);
      continue;
    }
    const auto values = [&](const Column& column) {
      return column.joined ? join->table().values(partner, column.number) : table.values(row, column.number);
    };
    std::vector<std::vector<std::string_view>> texts;
    for (const Column& column : columns.texts) texts.push_back(values(column));
    std::string language;
    if (columns.language.number >= 0) {
      if (const auto tags = values(columns.language); !tags.empty()) language = tags.front();
    }
    bool is_repaired = std::binary_search(table.repaired_rows().begin(), table.repaired_rows().end(), row);
    for (std::vector<Text>& part :
         detail::samples_of(detail::make_texts(texts, language, options, is_repaired), options.every_text))
      samples_.push_back({(folder / picture).string(), std::move(part)});
    if (is_repaired) repaired.add(table, row);
  }
  nameless.warn(table, "without a picture left out");
  alone.warn(table, concat("without a partner in ", options.join, " left out").c_str());
  repaired.warn(table, "with bytes that are not UTF-8, which became U+FFFD");
  if (samples_.empty()) fail_for_empty_split(table, known, columns.split);
}

std::vector<std::string> ImageTextDataset::eval_texts(std::int64_t i) const {
  std::vector<std::string> texts;
  for (const Text& text : (*this)[i].texts) {
    if (text.column == 0) texts.push_back(text.text);
  }
  return texts;
}

std::vector<std::string> ImageTextDataset::texts_in(std::int64_t i, const std::string& language) const {
  std::vector<std::string> texts;
  for (const Text& text : (*this)[i].texts) {
    if (text.language == language && !text.text.empty()) texts.push_back(text.text);
  }
  return texts;
}

std::vector<std::string> ImageTextDataset::languages() const {
  std::vector<std::string> all;
  std::set<std::string> seen;
  for (const Sample& sample : samples_) {
    for (const Text& text : sample.texts) {
      if (seen.insert(text.language).second) all.push_back(text.language);
    }
  }
  return all;
}

std::string random_text(const std::vector<Text>& texts, Rng& rng) {
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
                                     const TableOptions& options, DatasetType type) {
  const DatasetType known = type_of(path, type);
  if (!knows_splits(known)) return {};
  const Table table = open_source(path, options, known).table;
  std::vector<std::string> names;
  for (const auto& [name, count] : count_splits(table, find_split_column(table, split_column))) {
    if (!name.empty()) names.push_back(name);
  }
  return names;
}

}  // namespace fovea::data
