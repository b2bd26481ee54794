#include "fovea/data/table.h"

#include <algorithm>
#include <map>

#include "fovea/core/error.h"
#include "fovea/core/suggest.h"
#include "fovea/io/file.h"
#include "fovea/text/clean.h"
#include "io/json.h"

namespace fovea::data {
namespace {

constexpr std::string_view separators = ",\t;|";

std::string name_of(char separator) { return separator == '\t' ? "tab" : concat("\"", separator, "\""); }

TableFormat format_of(const std::string& source, const TableOptions& options) {
  if (options.format != TableFormat::by_name) return options.format;
  const auto ends_in = [&](std::string_view extension) { return source.ends_with(extension); };
  if (ends_in(".jsonl") || ends_in(".ndjson") || ends_in(".json")) return TableFormat::jsonl;
  const bool separated = options.separator != 0 && options.separator != '\t';
  return ends_in(".csv") || separated ? TableFormat::csv : TableFormat::tsv;
}

// Names that data sets use for the same thing.
constexpr std::string_view synonyms[][8] = {
    {"image", "filepath", "file_name", "filename", "image_path", "path", "img", "file"},
    {"caption", "title", "text", "captions", "txt", "description", "sentence", "label"}};

// The column that likely is meant by a name that there is not; empty when none is.
std::string likely_column(std::string_view name, const std::vector<std::string>& columns) {
  if (std::string nearest = nearest_name(name, columns); !nearest.empty()) return nearest;
  for (const auto& group : synonyms) {
    if (std::find(std::begin(group), std::end(group), name) == std::end(group)) continue;
    for (const std::string_view other : group) {
      if (std::find(columns.begin(), columns.end(), other) != columns.end()) return std::string(other);
    }
  }
  return "";
}

// When a whole first line became one column.
std::string separator_hint(const std::vector<std::string>& columns) {
  if (columns.size() != 1) return "";
  const std::size_t at = columns[0].find_first_of(separators);
  if (at == std::string::npos) return "";
  return concat("\nhint: the first line is taken for one column, though it holds a ", name_of(columns[0][at]),
                ": name the file .csv, or set the separator");
}

}  // namespace

char parse_separator(std::string_view text) {
  if (text.empty()) return 0;
  if (text == "tab" || text == "\\t") return '\t';
  FOVEA_CHECK(text.size() == 1 && text != "\"" && text != "\n" && text != "\r", "[table] the separator is \"", text,
              "\", expected one character, or tab");
  return text[0];
}

// Fills a table from its text.
class TableParser {
 public:
  TableParser(std::string text, const std::string& source, const TableOptions& options)
      : table_(source, {}), text_(table_.text_), format_(format_of(source, options)), separator_(options.separator) {
    text_ = std::move(text);
    FOVEA_CHECK(!text_.starts_with("\xFF\xFE") && !text_.starts_with("\xFE\xFF"), "[table] ", source,
                " is UTF-16, expected UTF-8");
    if (text_.starts_with("\xEF\xBB\xBF")) at_ = 3;
    FOVEA_CHECK(at_ < text_.size(), "[table] ", source, " is empty, expected ",
                format_ == TableFormat::jsonl ? "one JSON object a line" : "a line with the columns' names");
  }

  Table parse() && {
    if (format_ == TableFormat::jsonl) {
      parse_jsonl();
    } else if (format_ == TableFormat::csv) {
      parse_csv();
    } else {
      parse_tsv();
    }
    return std::move(table_);
  }

 private:
  using Value = Table::Value;

  std::string place(std::int64_t line) const { return concat("[table] ", table_.source_, ":", line); }

  // The next line without its end.
  std::string_view next_line() {
    const std::size_t end = std::min(text_.find('\n', at_), text_.size());
    std::string_view line(&text_[at_], end - at_);
    if (line.ends_with('\r')) line.remove_suffix(1);
    at_ = end + 1;
    ++line_;
    return line;
  }

  void add_value(std::size_t begin, std::size_t length, std::int32_t column) {
    table_.values_.push_back({begin, length, column});
  }
  void end_row(std::int64_t line) {
    table_.row_begins_.push_back(table_.values_.size());
    table_.lines_.push_back(line);
  }

  // The values since the last row become the columns' names, or a row that has to be as long as those.
  void end_record(std::int64_t line, const char* hint) {
    std::vector<Value>& values = table_.values_;
    const std::size_t cells = values.size() - table_.row_begins_.back();
    if (table_.columns_.empty()) {
      for (const Value& value : values) table_.columns_.emplace_back(table_.text_of(value));
      values.clear();
      return;
    }
    FOVEA_CHECK(cells == table_.columns_.size(), place(line), " has ", cells, cells == 1 ? " cell" : " cells",
                ", expected ", table_.columns_.size(), hint);
    end_row(line);
  }

  void parse_tsv() {
    while (at_ < text_.size()) {
      std::size_t begin = at_;
      const std::string_view line = next_line();
      const std::size_t line_end = begin + line.size();
      for (std::int32_t column = 0;; ++column) {
        const std::size_t end = std::min(text_.find('\t', begin), line_end);
        add_value(begin, end - begin, column);
        if (end == line_end) break;
        begin = end + 1;
      }
      end_record(line_, "\nhint: cells are separated by tabs and must not contain any");
    }
  }

  bool at_line_end() const {
    return at_ >= text_.size() || text_[at_] == '\n' ||
           (text_[at_] == '\r' && (at_ + 1 == text_.size() || text_[at_ + 1] == '\n'));
  }
  void pass_line_end() {
    if (at_ < text_.size() && text_[at_] == '\r') ++at_;
    ++at_;
    ++line_;
  }

  void choose_separator() {
    if (separator_ != 0) return;
    const std::string_view header = std::string_view(text_).substr(at_, text_.find('\n', at_) - at_);
    separator_ = ',';
    for (const char candidate : {';', '\t', ','}) {
      if (header.find(candidate) != std::string_view::npos) separator_ = candidate;
    }
  }

  void parse_csv() {
    choose_separator();
    line_ = 1;
    while (at_ < text_.size()) {
      if (at_line_end()) {
        pass_line_end();
        continue;
      }
      const std::int64_t first_line = line_;
      for (std::int32_t column = 0;; ++column) {
        if (at_ < text_.size() && text_[at_] == '"') {
          add_quoted(column);
        } else {
          add_plain(column);
        }
        if (at_line_end()) break;
        ++at_;  // the separator
      }
      pass_line_end();
      end_record(first_line, "\nhint: cells that hold the separator or a line end stand in double quotes");
    }
    FOVEA_CHECK(!table_.columns_.empty(), "[table] ", table_.source_, " has no line with the columns' names");
  }

  void add_plain(std::int32_t column) {
    const std::size_t begin = at_;
    while (!at_line_end() && text_[at_] != separator_) ++at_;
    add_value(begin, at_ - begin, column);
  }

  // The cell's text moves to the left over the quotes that are taken out.
  void add_quoted(std::int32_t column) {
    const std::int64_t opened = line_;
    const std::size_t begin = ++at_;
    std::size_t to = begin;
    for (;; ++at_) {
      FOVEA_CHECK(at_ < text_.size(), place(opened), ": a double quote is opened and never closed");
      if (text_[at_] == '"') {
        if (at_ + 1 == text_.size() || text_[at_ + 1] != '"') break;
        ++at_;
      }
      line_ += text_[at_] == '\n';
      text_[to++] = text_[at_];
    }
    ++at_;
    FOVEA_CHECK(at_line_end() || text_[at_] == separator_, place(line_), ": text behind a closing quote, expected ",
                name_of(separator_), " or the end of the line\nhint: a quote inside quotes is written twice");
    add_value(begin, to - begin, column);
  }

  void parse_jsonl() {
    std::string decoded;
    while (at_ < text_.size()) {
      const std::string_view line = next_line();
      if (line.find_first_not_of(" \t") == std::string_view::npos) continue;
      add_object(line, decoded);
      end_row(line_);
    }
    text_ = std::move(decoded);
  }

  void add_object(std::string_view line, std::string& decoded) {
    using Json = nlohmann::json;
    const std::string repaired = text::replace_invalid_utf8(line);
    if (repaired != line) table_.repaired_rows_.push_back(table_.rows());
    FOVEA_CHECK(!repaired.starts_with('[') || line_ > 1, place(line_),
                ": the file is one JSON list, expected one object a line\nhint: jq -c '.[]' converts it");
    const Json json = io::detail::parse_json<Json>(repaired, place(line_));
    FOVEA_CHECK(json.is_object(), place(line_), " is JSON of type ", json.type_name(),
                R"(, expected an object such as {"image": "a.png", "caption": "a dog"})");
    const auto add = [&](const Json& text, std::int32_t column) {
      const auto& value = text.get_ref<const std::string&>();
      add_value(decoded.size(), value.size(), column);
      decoded += value;
    };
    for (const auto& [key, value] : json.items()) {
      if (value.is_string()) add(value, column_of(key));
      if (!value.is_array()) continue;
      for (const Json& text : value) {
        if (text.is_string()) add(text, column_of(key));
      }
    }
    const auto row_begin = table_.values_.begin() + static_cast<std::ptrdiff_t>(table_.row_begins_.back());
    std::stable_sort(row_begin, table_.values_.end(),
                     [](const Value& a, const Value& b) { return a.column < b.column; });
  }

  std::int32_t column_of(const std::string& key) {
    const auto [entry, added] = known_columns_.emplace(key, static_cast<std::int32_t>(table_.columns_.size()));
    if (added) table_.columns_.push_back(key);
    return entry->second;
  }

  Table table_;
  std::string& text_;  // the table's
  TableFormat format_;
  char separator_;
  std::size_t at_ = 0;
  std::int64_t line_ = 0;  // of the last line read; of CSV, of the text at at_
  std::map<std::string, std::int32_t> known_columns_;
};

Table::Table(std::string source, std::vector<std::string> columns)
    : source_(std::move(source)), columns_(std::move(columns)) {}

Table Table::read(const std::string& path, const TableOptions& options) {
  return parse(io::read_file(path), path, options);
}

Table Table::parse(std::string text, const std::string& source, const TableOptions& options) {
  return TableParser(std::move(text), source, options).parse();
}

void Table::add_row(std::span<const std::vector<std::string>> cells) {
  FOVEA_CHECK(cells.size() == columns_.size(), "[table] ", source_, ": a row of ", cells.size(), " cells, expected ",
              columns_.size());
  for (std::size_t column = 0; column < cells.size(); ++column) {
    for (const std::string& value : cells[column]) {
      values_.push_back({text_.size(), value.size(), static_cast<std::int32_t>(column)});
      text_ += value;
    }
  }
  row_begins_.push_back(values_.size());
}

std::int64_t Table::column(std::string_view name) const {
  const auto found = std::find(columns_.begin(), columns_.end(), name);
  if (found != columns_.end()) return found - columns_.begin();
  constexpr std::size_t shown = 30;
  std::string known;
  for (std::size_t i = 0; i < std::min(columns_.size(), shown); ++i) known += (i == 0 ? "" : ", ") + columns_[i];
  if (columns_.size() > shown) known += concat(", ... (", columns_.size(), " in all)");
  std::string hint = separator_hint(columns_);
  if (const std::string likely = likely_column(name, columns_); hint.empty() && !likely.empty()) {
    hint = "\nhint: did you mean \"" + likely + "\"?";
  }
  fail("[table] ", source_, " has no column \"", name, "\", its columns are ", known, hint);
}

std::span<const Table::Value> Table::find(std::int64_t row, std::int64_t column) const {
  const auto width = static_cast<std::int64_t>(columns_.size());
  FOVEA_CHECK(row >= 0 && row < rows() && column >= 0 && column < width, "[table] ", source_, ": no cell (", row, ", ",
              column, ") in ", rows(), " rows of ", width);
  const auto begin = values_.begin() + static_cast<std::ptrdiff_t>(row_begins_[static_cast<std::size_t>(row)]);
  const auto end = values_.begin() + static_cast<std::ptrdiff_t>(row_begins_[static_cast<std::size_t>(row) + 1]);
  struct ByColumn {
    bool operator()(const Value& value, std::int64_t number) const { return value.column < number; }
    bool operator()(std::int64_t number, const Value& value) const { return number < value.column; }
  };
  const auto [first, last] = std::equal_range(begin, end, column, ByColumn());
  return {first, last};
}

std::string_view Table::cell(std::int64_t row, std::int64_t column) const {
  const std::span<const Value> found = find(row, column);
  return found.empty() ? std::string_view() : text_of(found.front());
}

std::vector<std::string_view> Table::values(std::int64_t row, std::int64_t column) const {
  std::vector<std::string_view> texts;
  for (const Value& value : find(row, column)) texts.push_back(text_of(value));
  return texts;
}

std::string Table::place(std::int64_t row) const {
  return lines_.empty() ? source_ : concat(source_, ":", lines_.at(static_cast<std::size_t>(row)));
}

}  // namespace fovea::data
