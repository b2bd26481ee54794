// Reading and writing of a tokenizer's components: structures that list their fields once.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "fovea/core/error.h"
#include "text/pipeline.h"

namespace fovea::text::detail {

using Json = nlohmann::ordered_json;  // what is written
using Read = nlohmann::json;          // what is read: large objects need its look-up

// A value of the file with the way to it: "pre_tokenizer.pretokenizers[0].pattern".
struct Node {
  const Read& value;
  std::string path;
  const std::string& prefix;  // what messages open with: "[tokenizer] file: "

  // "path is ..., expected ..."
  [[noreturn]] void refuse(const std::string& expected) const;
  Node member(const std::string& key) const;  // must exist
  bool has(const std::string& key) const;     // and is not null
  Node operator[](std::size_t i) const { return {value[i], concat(path, "[", i, "]"), prefix}; }
};

std::string abbreviated(const Read& value);

void read(const Node& node, bool& value);
void read(const Node& node, std::int64_t& value);  // 0 to 2^31 - 1
void read(const Node& node, std::int32_t& value);
void read(const Node& node, std::string& value);
void read(const Node& node, char32_t& value);  // a string of one character
void read(const Node& node, Pattern& value);
void read(const Node& node, Behavior& value);
void read(const Node& node, PrependScheme& value);
void read(const Node& node, Direction& value);
void read(const Node& node, NamedId& value);
void read(const Node& node, TemplatePiece& value);
void read(const Node& node, TemplateToken& value);
void read(const Node& node, Padding& value);
void read(const Node& node, Charsmap& value);
void read(const Node& node, Bytes& value);

Json write(bool value);
Json write(std::int64_t value);
Json write(std::int32_t value);
Json write(const std::string& value);
Json write(char32_t value);
Json write(const Pattern& value);
Json write(Behavior value);
Json write(PrependScheme value);
Json write(Direction value);
Json write(const NamedId& value);
Json write(const TemplatePiece& value);
Json write(const TemplateToken& value);
Json write(const Padding& value);
Json write(const Charsmap& value);
Json write(const Bytes& value);

// A component of one of several types.
template <class T>
concept Component = requires(T value) {
  value.part.index();
};

template <class T>
void read_fields(const Node& node, T& value);
template <Component T>
void read(const Node& node, T& component);

template <class T>
void read(const Node& node, std::optional<T>& value) {
  if (node.value.is_null()) return value.reset();
  read(node, value.emplace());
}

template <class T>
void read(const Node& node, std::vector<T>& values) {
  if (!node.value.is_array()) node.refuse("an array");
  values.resize(node.value.size());
  for (std::size_t i = 0; i < values.size(); ++i) read(node[i], values[i]);
}

template <class T>
void read(const Node& node, std::map<std::string, T>& values) {
  if (!node.value.is_object()) node.refuse("an object");
  for (const auto& [key, unused] : node.value.items()) read(node.member(key), values[key]);
}

struct FieldReader {
  const Node& node;

  template <class T>
  void operator()(const char* key, T& value) const {
    read(node.member(key), value);
  }
  template <class T>
  void operator()(const char* key, std::optional<T>& value) const {
    optional(key, value);
  }
  template <class T>
  void optional(const char* key, T& value) const {
    if (node.has(key)) read(node.member(key), value);
  }
  // Fields of ours that others do not know: written only where they say something.
  template <class T>
  void extra(const char* key, T& value) const {
    optional(key, value);
  }
};

template <Component T>
Json write(const T& component);
template <class T>
Json write(const std::optional<T>& value);
template <class T>
Json write(const std::vector<T>& values);
template <class T>
Json write(const std::map<std::string, T>& values);

struct FieldWriter {
  Json& json;

  template <class T>
  void operator()(const char* key, const T& value) const {
    json[key] = write(value);
  }
  template <class T>
  void optional(const char* key, const T& value) const {
    json[key] = write(value);
  }
  template <class T>
  void extra(const char* key, const T& value) const {
    if (value != T()) json[key] = write(value);
  }
};

template <class T>
void read_fields(const Node& node, T& value) {
  if (!node.value.is_object()) node.refuse("an object");
  T::fields(value, FieldReader{node});
}

// What a file says in an older way.
inline void read_older(const Node&, auto&) {}
void read_older(const Node& node, Metaspace& meta);

template <Component T>
void read(const Node& node, T& component) {
  if (!node.value.is_object()) node.refuse("an object with a \"type\"");
  const Node type = node.member("type");
  bool known = false;
  std::string names;
  const auto attempt = [&]<class Part>(std::optional<Part>) {
    names += concat(names.empty() ? "one of " : ", ", Part::type);
    if (known || type.value != Part::type) return;
    known = true;
    Part part;
    read_fields(node, part);
    read_older(node, part);
    component.part = std::move(part);
  };
  [&]<class... Part>(const std::variant<Part...>&) { (attempt(std::optional<Part>()), ...); }(component.part);
  if (!known) type.refuse(names);
}

template <class T>
Json write(const std::optional<T>& value) {
  return value ? write(*value) : Json();
}

template <class T>
Json write(const std::vector<T>& values) {
  Json json = Json::array();
  for (const T& value : values) json.push_back(write(value));
  return json;
}

template <class T>
Json write(const std::map<std::string, T>& values) {
  Json json = Json::object();
  for (const auto& [key, value] : values) json[key] = write(value);
  return json;
}

template <class T>
Json write_fields(const T& value, Json json = Json::object()) {
  T::fields(value, FieldWriter{json});
  return json;
}

template <Component T>
Json write(const T& component) {
  return std::visit(
      [](const auto& part) {
        return write_fields(part, Json{{"type", std::remove_cvref_t<decltype(part)>::type}});
      },
      component.part);
}

}  // namespace fovea::text::detail
