#include "text/component_json.h"

#include <algorithm>
#include <iterator>
#include <limits>

#include "text/base64.h"
#include "text/unicode.h"

namespace fovea::text::detail {
namespace {

template <class E>
using Names = std::vector<std::pair<const char*, E>>;

const Names<Behavior>& names_of(Behavior) {
  static const Names<Behavior> names{{"Removed", Behavior::removed},
                                     {"Isolated", Behavior::isolated},
                                     {"MergedWithPrevious", Behavior::merged_with_previous},
                                     {"MergedWithNext", Behavior::merged_with_next},
                                     {"Contiguous", Behavior::contiguous}};
  return names;
}
const Names<PrependScheme>& names_of(PrependScheme) {
  static const Names<PrependScheme> names{
      {"first", PrependScheme::first}, {"never", PrependScheme::never}, {"always", PrependScheme::always}};
  return names;
}
const Names<Direction>& names_of(Direction) {
  static const Names<Direction> names{{"Left", Direction::left}, {"Right", Direction::right}};
  return names;
}

template <class E>
void read_name(const Node& node, E& value) {
  std::string expected;
  for (const auto& [name, enumerator] : names_of(E())) {
    if (node.value == name) return void(value = enumerator);
    expected += concat(expected.empty() ? "one of " : ", ", name);
  }
  node.refuse(expected);
}

template <class E>
Json write_name(E value) {
  const auto& names = names_of(E());
  return std::ranges::find(names, value, &std::pair<const char*, E>::second)->first;
}

}  // namespace

std::string abbreviated(const Read& value) {
  constexpr std::size_t most = 80;
  if (value.size() > most && value.is_structured()) return concat(value.type_name(), " of ", value.size());
  std::string text = value.dump(-1, ' ', false, Read::error_handler_t::replace);
  if (text.size() <= most) return text;
  std::size_t end = most;
  while ((static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end) + "...";
}

void Node::refuse(const std::string& expected) const {
  fail(prefix, path.empty() ? "the whole" : path, " is ", abbreviated(value), ", expected ", expected);
}

Node Node::member(const std::string& key) const {
  if (!value.is_object()) refuse("an object");
  const auto found = value.find(key);
  const std::string place = path.empty() ? key : path + "." + key;
  FOVEA_CHECK(found != value.end(), prefix, place, " is missing");
  return {*found, place, prefix};
}

bool Node::has(const std::string& key) const {
  const auto found = value.find(key);
  return found != value.end() && !found->is_null();
}

void read(const Node& node, bool& value) {
  if (!node.value.is_boolean()) node.refuse("true or false");
  value = node.value.get<bool>();
}

void read(const Node& node, std::int64_t& value) {
  constexpr std::int64_t greatest = std::numeric_limits<std::int32_t>::max();
  if (!node.value.is_number_integer() || node.value < 0 || node.value > greatest) {
    node.refuse(concat("a whole number from 0 to ", greatest));
  }
  value = node.value.get<std::int64_t>();
}

void read(const Node& node, std::int32_t& value) {
  std::int64_t wide = 0;
  read(node, wide);
  value = static_cast<std::int32_t>(wide);
}

void read(const Node& node, std::string& value) {
  if (!node.value.is_string()) node.refuse("a string");
  value = node.value.get<std::string>();
}

void read(const Node& node, char32_t& value) {
  std::string text;
  read(node, text);
  const CodePoint point = text.empty() ? CodePoint{0, 1} : code_point_at(text, 0);
  if (text.size() != point.bytes) node.refuse("one character");
  value = static_cast<char32_t>(point.value);
}

void read(const Node& node, Pattern& value) {
  if (!node.value.is_object() || node.value.size() != 1) node.refuse(R"({"String": "..."} or {"Regex": "..."})");
  std::string text;
  if (node.has("Regex")) {
    read(node.member("Regex"), text);
    value = Pattern::of_regex(std::move(text), concat(node.prefix, node.path, ": "));
  } else {
    read(node.member("String"), text);
    value = Pattern::of_string(std::move(text));
  }
}

void read(const Node& node, Behavior& value) { read_name(node, value); }
void read(const Node& node, PrependScheme& value) { read_name(node, value); }
void read(const Node& node, Direction& value) { read_name(node, value); }

void read(const Node& node, NamedId& value) {
  if (!node.value.is_array() || node.value.size() != 2) node.refuse("a token and its id");
  read(node[0], value.token);
  read(node[1], value.id);
}

void read(const Node& node, TemplatePiece& value) {
  if (!node.value.is_object()) node.refuse("a SpecialToken or a Sequence");
  value.is_text = node.has("Sequence");
  const Node piece = node.member(value.is_text ? "Sequence" : "SpecialToken");
  read(piece.member("id"), value.id);
  read(piece.member("type_id"), value.type_id);
  if (value.is_text && value.id != "A" && value.id != "B") piece.member("id").refuse("A or B");
}

void read(const Node& node, TemplateToken& value) {
  read(node.member("id"), value.id);
  read(node.member("ids"), value.ids);
  read(node.member("tokens"), value.tokens);
}

void read(const Node& node, Padding& value) {
  const Node strategy = node.member("strategy");
  if (strategy.value.is_object()) {
    read(strategy.member("Fixed"), value.fixed_length.emplace());
  } else if (strategy.value != "BatchLongest") {
    strategy.refuse(R"("BatchLongest" or {"Fixed": length})");
  }
  read(node.member("direction"), value.direction);
  if (node.has("pad_to_multiple_of")) read(node.member("pad_to_multiple_of"), value.pad_to_multiple_of.emplace());
  read(node.member("pad_id"), value.pad_id);
  read(node.member("pad_type_id"), value.pad_type_id);
  read(node.member("pad_token"), value.pad_token);
}

void read(const Node& node, Bytes& value) {
  std::string text;
  read(node, text);
  const auto bytes = from_base64(text);
  if (!bytes) node.refuse("base64");
  value.bytes = *bytes;
}

void read(const Node& node, Charsmap& value) {
  if (node.value.is_null()) return;
  Bytes bytes;
  read(node, bytes);
  value = Charsmap(std::move(bytes.bytes), concat(node.prefix, node.path, ": "));
}

// Before prepend_scheme there was add_prefix_space.
void read_older(const Node& node, Metaspace& meta) {
  bool prefix = true;
  if (node.has("add_prefix_space")) read(node.member("add_prefix_space"), prefix);
  if (prefix) return;
  if (node.has("prepend_scheme") && meta.prepend_scheme != PrependScheme::never) {
    node.member("prepend_scheme").refuse("\"never\", as add_prefix_space is false");
  }
  meta.prepend_scheme = PrependScheme::never;
}

Json write(bool value) { return value; }
Json write(std::int64_t value) { return value; }
Json write(std::int32_t value) { return value; }
Json write(const std::string& value) { return value; }
Json write(char32_t value) {
  std::string text;
  append_utf8(text, static_cast<std::int32_t>(value));
  return text;
}
Json write(const Bytes& value) { return to_base64(value.bytes); }
Json write(const Charsmap& value) { return to_base64(value.bytes()); }
Json write(const Pattern& value) { return {{value.is_regex() ? "Regex" : "String", value.text()}}; }
Json write(Behavior value) { return write_name(value); }
Json write(PrependScheme value) { return write_name(value); }
Json write(Direction value) { return write_name(value); }
Json write(const NamedId& value) { return Json::array({value.token, value.id}); }
Json write(const TemplatePiece& value) {
  return {{value.is_text ? "Sequence" : "SpecialToken", {{"id", value.id}, {"type_id", value.type_id}}}};
}
Json write(const TemplateToken& value) { return {{"id", value.id}, {"ids", value.ids}, {"tokens", value.tokens}}; }
Json write(const Padding& value) {
  Json json;
  json["strategy"] = value.fixed_length ? Json{{"Fixed", *value.fixed_length}} : Json("BatchLongest");
  json["direction"] = value.direction;
  json["pad_to_multiple_of"] = write(value.pad_to_multiple_of);
  json["pad_id"] = value.pad_id;
  json["pad_type_id"] = value.pad_type_id;
  json["pad_token"] = value.pad_token;
  return json;
}

}  // namespace fovea::text::detail
