#include "fovea/data/shard_list.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>

#include "fovea/core/error.h"

namespace fovea::data {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t most_texts = 1'000'000;

void check_count(std::size_t count, const std::string& pattern) {
  FOVEA_CHECK(count <= most_texts, "[shards] ", pattern, " stands for more than ", most_texts, " names");
}

// The place of the brace that closes the one at `open`, with the commas between them that are not inside others.
struct Group {
  std::size_t close;
  std::vector<std::size_t> commas;
};

std::optional<Group> find_group(std::string_view pattern, std::size_t open) {
  Group group{};
  int depth = 0;
  for (std::size_t i = open; i < pattern.size(); ++i) {
    if (pattern[i] == '{') ++depth;
    if (pattern[i] == ',' && depth == 1) group.commas.push_back(i);
    if (pattern[i] == '}' && --depth == 0) {
      group.close = i;
      return group;
    }
  }
  return std::nullopt;
}

std::vector<std::string_view> split(std::string_view text, std::string_view separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + separator.size());
  }
}

std::optional<std::int64_t> whole_number(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::size_t digits_of(std::string_view number) { return number.size() - number.starts_with('-'); }
bool is_padded(std::string_view number) {
  return digits_of(number) > 1 && number[number.size() - digits_of(number)] == '0';
}

std::string padded(std::int64_t number, std::size_t width) {
  std::string digits = std::to_string(number < 0 ? -number : number);
  const std::size_t taken = digits.size() + (number < 0);
  if (taken < width) digits.insert(0, width - taken, '0');
  return number < 0 ? "-" + digits : digits;
}

// first, first + step, ..., never beyond last.
template <class Name>
std::vector<std::string> count_up(std::int64_t first, std::int64_t last, std::int64_t step, std::string_view pattern,
                                  Name&& name) {
  const std::int64_t by = std::max<std::int64_t>(step < 0 ? -step : step, 1);
  const std::int64_t distance = first <= last ? last - first : first - last;
  check_count(static_cast<std::size_t>(distance / by) + 1, std::string(pattern));
  std::vector<std::string> names;
  for (std::int64_t done = 0; done <= distance; done += by)
    names.push_back(name(first <= last ? first + done : first - done));
  return names;
}

// "a..b" and "a..b..step"; none when the text is no such range.
std::optional<std::vector<std::string>> range(std::string_view text) {
  const std::vector<std::string_view> parts = split(text, "..");
  if (parts.size() != 2 && parts.size() != 3) return std::nullopt;
  const std::optional<std::int64_t> step = parts.size() == 3 ? whole_number(parts[2]) : 1;
  if (!step || *step < -1'000'000'000 || *step > 1'000'000'000) return std::nullopt;
  const auto is_letter = [](std::string_view t) {
    return t.size() == 1 && std::isalpha(static_cast<unsigned char>(t[0]));
  };
  if (is_letter(parts[0]) && is_letter(parts[1]))
    return count_up(parts[0][0], parts[1][0], *step, text,
                    [](std::int64_t c) { return std::string(1, static_cast<char>(c)); });
  constexpr std::size_t most_digits = 15;
  const auto first = whole_number(parts[0]), last = whole_number(parts[1]);
  if (!first || !last || std::max(digits_of(parts[0]), digits_of(parts[1])) > most_digits) return std::nullopt;
  const bool pad = is_padded(parts[0]) || is_padded(parts[1]);
  const std::size_t width = pad ? std::max(parts[0].size(), parts[1].size()) : 0;
  return count_up(*first, *last, *step, text, [width](std::int64_t n) { return padded(n, width); });
}

// What stands between two braces; none when they are only braces.
std::optional<std::vector<std::string>> alternatives(std::string_view pattern, std::size_t open, const Group& group) {
  if (group.commas.empty()) return range(pattern.substr(open + 1, group.close - open - 1));
  std::vector<std::string> all;
  std::size_t begin = open + 1;
  for (std::size_t i = 0; i <= group.commas.size(); ++i) {
    const std::size_t end = i < group.commas.size() ? group.commas[i] : group.close;
    const std::vector<std::string> part = expand_braces(std::string(pattern.substr(begin, end - begin)));
    all.insert(all.end(), part.begin(), part.end());
    check_count(all.size(), std::string(pattern));
    begin = end + 1;
  }
  return all;
}

bool is_tar_name(std::string_view name) {
  for (const char* extension : {".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.zstd", ".tar.bz2", ".tar.xz"}) {
    if (name.ends_with(extension)) return true;
  }
  return false;
}

std::vector<std::string> tars_in(const std::string& folder) {
  std::vector<std::string> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (is_tar_name(name) && !name.starts_with('.')) found.push_back(entry.path().string());
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::vector<double> read_factors(const std::string& factors, std::size_t sources) {
  if (factors.empty()) return std::vector<double>(sources, 1);
  std::vector<double> values;
  for (const std::string_view part : split(factors, "::")) {
    double value = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    FOVEA_CHECK(error == std::errc() && end == part.data() + part.size() && value > 0 && value <= 1e9,
                "[shards] the upsampling factor \"", part, "\" of \"", factors, "\" is no number above 0");
    values.push_back(value);
  }
  FOVEA_CHECK(values.size() == sources, "[shards] ", values.size(), " upsampling factors for ", sources,
              sources == 1 ? " source" : " sources",
              ", expected one for each\nhint: \"::\" stands between them in both");
  return values;
}

void check_all_exist(const std::vector<Shard>& shards) {
  std::size_t missing = 0;
  std::string first;
  for (const Shard& shard : shards) {
    std::error_code unknown;
    if (fs::is_regular_file(shard.path, unknown)) continue;
    if (missing++ == 0) first = shard.path;
  }
  FOVEA_CHECK(missing == 0, "[shards] ", missing, " of ", shards.size(), missing == 1 ? " shards is" : " shards are",
              " missing or no files; the first: ", first,
              first.find("://") != std::string::npos || first.starts_with("pipe:")
                  ? "\nhint: shards are files of this machine; copy or mount them first"
                  : "\nhint: {000..031} counts to its last number, which must exist");
}

}  // namespace

std::vector<std::string> expand_braces(const std::string& pattern) {
  for (std::size_t open = pattern.find('{'); open != std::string::npos; open = pattern.find('{', open + 1)) {
    const std::optional<Group> group = find_group(pattern, open);
    if (!group) continue;
    const std::optional<std::vector<std::string>> middle = alternatives(pattern, open, *group);
    if (!middle) continue;
    const std::vector<std::string> ends = expand_braces(pattern.substr(group->close + 1));
    check_count(middle->size() * ends.size(), pattern);
    std::vector<std::string> all;
    for (const std::string& part : *middle) {
      for (const std::string& end : ends) all.push_back(pattern.substr(0, open) + part + end);
    }
    return all;
  }
  return {pattern};
}

std::vector<Shard> list_shards(const std::string& sources, const std::string& factors) {
  const std::vector<std::string_view> parts = split(sources, "::");
  const std::vector<double> weights = read_factors(factors, parts.size());
  std::vector<Shard> shards;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    FOVEA_CHECK(!parts[i].empty(), "[shards] \"", sources, "\" has an empty source, expected names of tar files");
    const std::string source(parts[i]);
    std::error_code unknown;
    const bool is_folder = fs::is_directory(source, unknown);
    const std::vector<std::string> paths = is_folder ? tars_in(source) : expand_braces(source);
    FOVEA_CHECK(!paths.empty(), "[shards] the folder ", source, " holds no tar archive");
    for (const std::string& path : paths) shards.push_back({path, weights[i]});
  }
  check_all_exist(shards);
  return shards;
}

bool names_shards(const std::string& path) {
  if (path.find("::") != std::string::npos || is_tar_name(path)) return true;
  std::error_code unknown;
  if (fs::is_directory(path, unknown)) return !tars_in(path).empty();
  const std::vector<std::string> names =
      path.find('{') == std::string::npos ? std::vector<std::string>() : expand_braces(path);
  return !names.empty() && is_tar_name(names.front());
}

}  // namespace fovea::data
