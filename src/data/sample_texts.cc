#include "data/sample_texts.h"

#include <algorithm>
#include <map>

#include "fovea/core/error.h"
#include "fovea/text/clean.h"
#include "io/json.h"

namespace fovea::data::detail {
namespace {

// The alternatives of a column, members' suffixes or keys of the json member.
std::vector<std::string> alternatives(const std::string& column) {
  if (column == "image") return {"jpg", "png", "jpeg", "webp"};
  if (column == "caption") return {"txt", "caption"};
  std::vector<std::string> names;
  for (std::size_t begin = 0; begin <= column.size();) {
    const std::size_t end = std::min(column.find(';', begin), column.size());
    if (end > begin) names.push_back(column.substr(begin, end - begin));
    begin = end + 1;
  }
  return names;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blanks = " \t\r\n";
  const std::size_t first = text.find_first_not_of(blanks);
  return first == std::string_view::npos ? "" : text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

using Json = nlohmann::json;

// The texts under the keys of a sample's json member. What cannot be read counts as absent.
Json json_of(const ShardSample& sample) {
  const ShardMember* member = sample.find({"json"});
  if (!member) return Json::object();
  Json json = Json::parse(text::replace_invalid_utf8(member->contents), nullptr, false);
  return json.is_object() ? json : Json::object();
}

// The values of the first alternative that has one.
std::vector<std::string_view> values_of(const ShardSample& sample, const Json& json,
                                        const std::vector<std::string>& names) {
  std::vector<std::string_view> values;
  const auto add = [&](std::string_view text) {
    if (text = trimmed(text); !text.empty()) values.push_back(text);
  };
  for (const std::string& name : names) {
    if (const ShardMember* member = sample.find({name})) add(member->contents);
    if (const auto value = json.find(name); value != json.end() && values.empty()) {
      if (value->is_string()) add(value->get_ref<const std::string&>());
      for (const Json& text : value->is_array() ? *value : Json::array()) {
        if (text.is_string()) add(text.get_ref<const std::string&>());
      }
    }
    if (!values.empty()) return values;
  }
  return values;
}

}  // namespace

std::vector<Text> make_texts(std::span<const std::vector<std::string_view>> values, const std::string& language,
                             const DatasetOptions& options, bool& repaired) {
  std::vector<Text> texts;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const TextColumn& column = options.text_columns[i];
    const std::string& spoken = options.language_column.empty() ? column.name : language;
    const double weight = column.weight / static_cast<double>(std::max<std::size_t>(values[i].size(), 1));
    for (const std::string_view value : values[i]) {
      if (!texts.empty() && value.empty()) continue;
      texts.push_back(
          {text::replace_invalid_utf8(value), weight, column.separator, spoken, static_cast<std::int32_t>(i)});
      repaired |= texts.back().text != value;
    }
    if (texts.empty()) texts.push_back({"", 0, "", spoken, 0});  // the text of evaluation is always there
  }
  return texts;
}

std::vector<std::vector<Text>> samples_of(std::vector<Text> texts, bool every_text) {
  std::vector<std::vector<Text>> samples;
  if (every_text) {
    for (Text& text : texts) {
      if (!text.text.empty()) samples.push_back({std::move(text)});
    }
    if (!samples.empty()) return samples;
  }
  samples.push_back(std::move(texts));
  return samples;
}

ShardColumns::ShardColumns(const DatasetOptions& options)
    : options_(options), image_(alternatives(options.image_column)) {
  const auto read = [this](const std::string& column) {
    const std::vector<std::string> names = alternatives(column);
    read_.insert(read_.end(), names.begin(), names.end());
    return names;
  };
  for (const TextColumn& column : options.text_columns) texts_.push_back(read(column.name));
  if (!options.language_column.empty()) language_ = read(options.language_column);
  read_.emplace_back("json");
}

const ShardMember& ShardColumns::picture(const ShardSample& sample) const {
  const ShardMember* member = sample.find(image_);
  if (member) return *member;
  std::string wanted, known;
  for (const std::string& suffix : image_) wanted += concat(wanted.empty() ? "" : ", ", suffix);
  for (const ShardMember& other : sample.members) known += concat(known.empty() ? "" : ", ", other.suffix);
  fail("[shards] ", sample.key, " has no picture (", wanted, "), only ", known);
}

std::vector<Text> ShardColumns::texts(const ShardSample& sample, bool& repaired) const {
  const Json json = json_of(sample);
  std::vector<std::vector<std::string_view>> values;
  for (const std::vector<std::string>& names : texts_) values.push_back(values_of(sample, json, names));
  std::string language;
  if (const auto found = values_of(sample, json, language_); !found.empty()) language = found.front();
  std::vector<Text> texts = make_texts(values, language, options_, repaired);
  const bool any = std::any_of(texts.begin(), texts.end(), [](const Text& text) { return !text.text.empty(); });
  if (any) return texts;
  std::string wanted;
  for (const std::vector<std::string>& names : texts_) {
    for (const std::string& name : names) wanted += concat(wanted.empty() ? "" : ", ", name);
  }
  fail("[shards] ", sample.key, " has no caption (", wanted, "), or an empty one");
}

}  // namespace fovea::data::detail
