#include "data/pair_list.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <utility>

#include "fovea/core/error.h"
#include "fovea/data/table.h"
#include "fovea/text/clean.h"
#include "io/json.h"

namespace fovea::data::detail {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t cell_count = static_cast<std::size_t>(Cell::count);
constexpr std::int64_t longest_line = std::int64_t{64} << 20;

std::array<std::string_view, cell_count> names_of(const PairColumns& columns) {
  return {columns.image, columns.caption,  columns.width, columns.height,
          columns.split, columns.language, columns.unsafe};
}

bool is_url(std::string_view path) { return path.find("://") != std::string_view::npos; }

// The values of the first level that cells are made of. Numbers become text.
class CellReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  CellReader(const std::array<std::string_view, cell_count>& names) : names_(names) {}

  std::array<std::string, cell_count> cells;
  std::string problem;

  bool null() override {
    return value([](std::string&) {});
  }
  bool boolean(bool flag) override {
    return value([&](std::string& cell) { cell = flag ? "true" : "false"; });
  }
  bool number_integer(number_integer_t number) override { return take(concat(number)); }
  bool number_unsigned(number_unsigned_t number) override { return take(concat(number)); }
  bool number_float(number_float_t number, const string_t&) override { return take(concat(number)); }
  bool string(string_t& text) override {
    return value([&](std::string& cell) { cell.swap(text); });
  }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(true); }
  bool key(string_t& name) override {
    if (depth_ != 1) return true;
    const auto found = std::find(names_.begin(), names_.end(), name);
    cell_ = name.empty() ? cell_count : static_cast<std::size_t>(found - names_.begin());
    if (cell_ < cell_count && seen_[cell_]) return refuse(concat("key \"", name, "\" appears twice"));
    if (cell_ < cell_count) seen_[cell_] = true;
    return true;
  }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open(false); }
  bool end_array() override { return close(); }
  bool parse_error(std::size_t byte, const std::string&, const nlohmann::detail::exception&) override {
    return refuse(concat("not valid JSON at byte ", byte));
  }

 private:
  bool refuse(std::string reason) {
    if (problem.empty()) problem = std::move(reason);
    return false;
  }
  bool take(const std::string& text) {
    return value([&](std::string& cell) { cell = text; });
  }
  template <class Set>
  bool value(Set&& set) {
    if (depth_ == 0) return refuse("not a JSON object");
    if (depth_ == 1 && cell_ < cell_count) set(cells[cell_]);
    return true;
  }
  bool open(bool object) {
    if (depth_ == 0 && !object) return refuse("not a JSON object");
    if (depth_ == 1 && cell_ < cell_count)
      return refuse(concat("\"", names_[cell_], "\" is a list or an object, expected one text"));
    if (++depth_ > io::detail::max_json_depth) return refuse("JSON nested too deep");
    return true;
  }
  bool close() {
    --depth_;
    return true;
  }

  const std::array<std::string_view, cell_count>& names_;
  std::array<bool, cell_count> seen_{};
  std::size_t cell_ = cell_count;
  int depth_ = 0;
};

std::string without_line_end(std::string line) {
  if (line.ends_with('\n')) line.pop_back();
  if (line.ends_with('\r')) line.pop_back();
  return line;
}

}  // namespace

PairList::PairList(const std::vector<std::string>& paths, const PairColumns& columns, const std::string& output_folder,
                   std::int64_t block_bytes)
    : columns_(columns), block_bytes_(block_bytes) {
  FOVEA_CHECK(!paths.empty(), "[curate] no list of pairs is named");
  for (const std::string& path : paths) open(path, output_folder);
  at_ = files_.front().body;
  line_ = files_.front().body_line;
}

void PairList::open(const std::string& path, const std::string& output_folder) {
  const std::string extension = fs::path(path).extension().string();
  FOVEA_CHECK(extension != ".csv", "[curate] ", path, " is CSV, expected .tsv or .jsonl, whose rows are lines");
  const Format format = extension == ".jsonl" || extension == ".ndjson" || extension == ".json" ? Format::jsonl
                        : extension == ".txt"                                                   ? Format::text
                                                                                                : Format::tsv;
  FOVEA_CHECK(files_.empty() || format == format_, "[curate] ", path, " is not of the same kind as ",
              files_.front().path, ", expected lists of one kind");
  format_ = format;
  File file;
  file.path = path;
  file.input = std::make_unique<io::detail::Input>("curate", path);
  const fs::path folder = fs::absolute(path).lexically_normal().parent_path();
  file.folder = folder.string();
  if (!output_folder.empty()) {
    const fs::path leads = folder.lexically_relative(fs::absolute(output_folder).lexically_normal());
    if (!leads.empty() && leads != ".") file.prefix = leads.string() + "/";
  }
  read_header(file);
  files_.push_back(std::move(file));
}

void PairList::read_header(File& file) {
  const std::int64_t looked_at = std::min<std::int64_t>(file.input->size(), 1 << 20);
  const std::string head = file.input->read(0, looked_at);
  FOVEA_CHECK(!head.starts_with("\xFF\xFE") && !head.starts_with("\xFE\xFF"), "[curate] ", file.path,
              " is UTF-16, expected UTF-8");
  if (head.starts_with("\xEF\xBB\xBF")) file.body = 3;
  if (format_ != Format::tsv) {
    const auto at = static_cast<std::size_t>(file.body);
    FOVEA_CHECK(format_ == Format::text || head.compare(at, 1, "[") != 0, "[curate] ", file.path,
                " is one JSON list, expected one object a line\nhint: jq -c '.[]' converts it");
    std::fill(std::begin(has_), std::end(has_), format_ == Format::jsonl);
    return;
  }
  const std::size_t end = head.find('\n', static_cast<std::size_t>(file.body));
  FOVEA_CHECK(end != std::string::npos || looked_at == file.input->size(), "[curate] ", file.path,
              " has no line end in its first ", looked_at, " bytes, expected a line with the columns' names");
  const std::string header = without_line_end(head.substr(
      static_cast<std::size_t>(file.body), std::min(end, head.size()) - static_cast<std::size_t>(file.body)));
  file.body = end == std::string::npos ? file.input->size() : static_cast<std::int64_t>(end) + 1;
  file.body_line = 2;
  FOVEA_CHECK(files_.empty() || header == header_, "[curate] ", file.path, " has other columns than ",
              files_.front().path, ", expected the same first line");
  if (!files_.empty()) return;
  header_ = header;
  find_columns(file.path);
}

void PairList::find_columns(const std::string& source) {
  const Table table = Table::parse(header_ + "\n", source, {.format = TableFormat::tsv});
  const auto names = names_of(columns_);
  cell_of_.assign(table.columns().size(), -1);
  for (std::size_t cell = 0; cell < cell_count; ++cell) {
    if (names[cell].empty()) continue;
    // Sizes and splits may be absent; what was named for a purpose may not.
    const bool optional = static_cast<Cell>(cell) == Cell::width || static_cast<Cell>(cell) == Cell::height ||
                          static_cast<Cell>(cell) == Cell::split;
    const auto found = std::find(table.columns().begin(), table.columns().end(), names[cell]);
    if (found == table.columns().end() && optional) continue;
    cell_of_[static_cast<std::size_t>(table.column(names[cell]))] = static_cast<int>(cell);
    has_[cell] = true;
  }
}

bool PairList::has(Cell cell) const {
  return has_[static_cast<std::size_t>(cell)] && !names_of(columns_)[static_cast<std::size_t>(cell)].empty();
}

std::string PairList::place(const PairBlock& block, std::int64_t line) const {
  return concat(files_[static_cast<std::size_t>(block.file)].path, ":", line);
}

std::string PairList::fingerprint() const {
  std::string text;
  for (const File& file : files_) {
    struct stat status {};
    FOVEA_CHECK(::stat(file.path.c_str(), &status) == 0, "[curate] cannot read ", file.path);
    text += concat(fs::absolute(file.path).string(), " ", status.st_size, " ", status.st_mtim.tv_sec, ".",
                   status.st_mtim.tv_nsec, "\n");
  }
  return text;
}

bool PairList::next(PairBlock& block, std::string& text) {
  while (at_ == files_[file_].input->size()) {
    if (file_ + 1 == files_.size()) return false;
    ++file_;
    at_ = files_[file_].body;
    line_ = files_[file_].body_line;
  }
  const File& file = files_[file_];
  const std::int64_t size = file.input->size();
  text.clear();
  std::int64_t end = at_;
  // At least a block, up to the end of a line.
  for (std::size_t last = std::string::npos; last == std::string::npos;) {
    const std::int64_t more = std::min(block_bytes_, size - end);
    FOVEA_CHECK(end + more - at_ <= longest_line, "[curate] ", file.path, ":", line_, ": line is longer than ",
                longest_line, " bytes");
    const std::size_t searched = text.size();
    text.resize(searched + static_cast<std::size_t>(more));
    file.input->read(end, text.data() + searched, more);
    end += more;
    last = end == size ? text.size() : text.rfind('\n');
    if (last != std::string::npos && last < text.size()) text.resize(last + 1);
  }
  block = PairBlock();
  block.file = static_cast<std::int64_t>(file_);
  block.begin = at_;
  block.end = at_ + static_cast<std::int64_t>(text.size());
  block.first_line = line_;
  at_ = block.end;
  line_ += std::count(text.begin(), text.end(), '\n');
  return true;
}

std::string PairList::read(const PairBlock& block) const {
  return files_[static_cast<std::size_t>(block.file)].input->read(block.begin, block.end - block.begin);
}

void PairList::for_each_row(const PairBlock& block, std::string_view text, FunctionRef<void(PairRow&)> row) const {
  PairRow current;
  std::string values;
  current.line_number = block.first_line - 1;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    ++current.line_number;
    if (format_ != Format::tsv && line.find_first_not_of(" \t") == std::string_view::npos) continue;
    current.line = line;
    current.problem.clear();
    std::fill(std::begin(current.cells), std::end(current.cells), std::string_view());
    if (format_ == Format::tsv) {
      parse_tsv(current);
    } else if (format_ == Format::jsonl) {
      parse_json(current, values);
    } else {
      current.cells[static_cast<std::size_t>(Cell::caption)] = line;
    }
    row(current);
  }
}

void PairList::parse_tsv(PairRow& row) const {
  std::string_view left = row.line;
  for (std::size_t column = 0;; ++column) {
    const std::size_t end = left.find('\t');
    if (column < cell_of_.size() && cell_of_[column] >= 0)
      row.cells[static_cast<std::size_t>(cell_of_[column])] = left.substr(0, end);
    if (end == std::string_view::npos) {
      if (column + 1 != cell_of_.size())
        row.problem = concat(column + 1, column == 0 ? " cell" : " cells", ", expected ", cell_of_.size());
      return;
    }
    left.remove_prefix(end + 1);
  }
}

void PairList::parse_json(PairRow& row, std::string& values) const {
  const auto names = names_of(columns_);
  CellReader reader(names);
  const std::string repaired = text::replace_invalid_utf8(row.line);
  row.repaired = repaired != row.line;
  nlohmann::json::sax_parse(repaired, &reader);
  if (!reader.problem.empty()) {
    row.problem = std::move(reader.problem);
    return;
  }
  values.clear();
  for (const std::string& cell : reader.cells) values += cell;
  std::size_t at = 0;
  for (std::size_t i = 0; i < cell_count; ++i) {
    row.cells[i] = std::string_view(values).substr(at, reader.cells[i].size());
    at += reader.cells[i].size();
  }
}

std::string PairList::output_image(const PairBlock& block, std::string_view image) const {
  const File& file = files_[static_cast<std::size_t>(block.file)];
  if (image.starts_with('/') || is_url(image)) return std::string(image);
  return file.prefix + std::string(image);
}

std::string PairList::image_path(const PairBlock& block, std::string_view image) const {
  return (fs::path(files_[static_cast<std::size_t>(block.file)].folder) / image).string();
}

void PairList::append_output(const PairBlock& block, const PairRow& row,
                             const std::vector<std::pair<std::string, std::string>>& added, std::string& out) const {
  const std::string_view image = row[Cell::image];
  const std::string moved = output_image(block, image);
  const bool is_moved = row.problem.empty() && !image.empty() && moved != image;
  if (format_ == Format::jsonl) {
    append_json(row, is_moved ? moved : "", added, out);
  } else {
    if (!row.problem.empty()) {
      append_cells(row.line, out);
    } else if (is_moved) {
      const auto at = static_cast<std::size_t>(image.data() - row.line.data());
      out.append(row.line, 0, at).append(moved).append(row.line, at + image.size());
    } else {
      out += row.line;
    }
    for (const auto& [name, value] : added) out += "\t" + value;
  }
  out += '\n';
}

// What is no JSON becomes the text of a key, so that a list of dropped rows can be read.
void PairList::append_json(const PairRow& row, const std::string& image, const AddedCells& added,
                           std::string& out) const {
  if (image.empty() && added.empty()) {
    out += row.line;
    return;
  }
  using Json = nlohmann::ordered_json;
  Json json = Json::object();
  if (row.problem.empty()) {
    json = Json::parse(text::replace_invalid_utf8(row.line));
  } else {
    json["line"] = row.line;
  }
  if (!image.empty()) json[columns_.image] = image;
  for (const auto& [name, value] : added) json[name] = value;
  out += json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// A line of any number of cells as one of as many as there are columns.
void PairList::append_cells(std::string_view line, std::string& out) const {
  std::size_t cells = 1;
  for (const char c : line) {
    const bool surplus = c == '\t' && cells == cell_of_.size();
    cells += c == '\t' && !surplus;
    out += surplus ? ' ' : c;
  }
  out.append(cell_of_.size() - cells, '\t');
}

}  // namespace fovea::data::detail
