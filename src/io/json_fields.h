// Structures as JSON objects: errors name the place, and unknown keys the nearest known one. Private to the sources.
//
// A structure lists its fields once, for reading and writing, in a function of its own namespace (not of an unnamed
// one: argument-dependent lookup must find it):
//
//   static void fields(Same<CropAugment> auto& c, auto&& f) { f("scale", c.scale), f("ratio", c.ratio); }
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "fovea/core/suggest.h"
#include "io/json.h"

namespace fovea::io::detail {

template <class T, class Struct>
concept Same = std::is_same_v<std::remove_cvref_t<T>, Struct>;

// An enumeration's names in JSON: specialised where it is read, with pairs {"name", enumerator} as `values`.
template <class E>
struct EnumNames;

// JSON as text; bytes that are not UTF-8, which a command line may hold, are replaced.
template <class Json>
std::string to_text(const Json& json, int indent = -1) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

inline std::string join(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += concat(text.empty() ? "" : ", ", name);
  return text;
}

// Where a value stands: what messages open with ("[config] file.json: "), and the path of keys.
struct JsonPlace {
  std::string prefix, path;

  JsonPlace operator/(const std::string& key) const { return {prefix, path.empty() ? key : path + "." + key}; }
  template <class Json>
  [[noreturn]] void fail_with(const Json& found, const std::string& expected) const {
    fail(prefix, path.empty() ? "the whole" : path, " is ", to_text(found), ", expected ", expected);
  }
};

// Throws Error for the first key of the object that is not among the known ones.
template <class Json>
void refuse_unknown(const Json& json, const std::vector<std::string>& known, const JsonPlace& place) {
  for (const auto& [key, value] : json.items()) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    const std::string nearest = nearest_name(key, known);
    fail(place.prefix, "unknown key ", (place / key).path, "\nhint: ",
         nearest.empty() ? "known keys are " + join(known) : "did you mean " + (place / nearest).path + "?");
  }
}

// Bounds of whole numbers, both included.
struct WholeRange {
  std::int64_t low, high;
};

template <class Json, class T>
void read_value(const Json& json, T& value, const JsonPlace& place, WholeRange range);

// Reads the fields that the object has; the others keep their values. `others` are keys that the caller reads.
template <class Json, class T>
void read_fields(const Json& json, T& structure, const JsonPlace& place, WholeRange range,
                 const std::vector<std::string>& others = {}) {
  if (!json.is_object()) place.fail_with(json, "an object");
  std::vector<std::string> known = others;
  fields(structure, [&](const char* name, auto&) { known.emplace_back(name); });
  refuse_unknown(json, known, place);
  fields(structure, [&](const char* name, auto& field) {
    if (json.contains(name)) read_value(json[name], field, place / name, range);
  });
}

template <class Json, class E>
void read_enumerator(const Json& json, E& value, const JsonPlace& place) {
  std::vector<std::string> known;
  for (const auto& [name, enumerator] : EnumNames<E>::values) {
    if (json == name) return void(value = enumerator);
    known.emplace_back(name);
  }
  place.fail_with(json, "one of " + join(known));
}

// Lists of a fixed length, or of any.
template <class Json, class List>
void read_list(const Json& json, List& values, const JsonPlace& place, WholeRange range) {
  if constexpr (requires { values.resize(json.size()); }) {
    if (!json.is_array()) place.fail_with(json, "a list of numbers");
    values.resize(json.size());
  } else if (!json.is_array() || json.size() != values.size()) {
    place.fail_with(json, concat("a list of ", values.size(), " numbers"));
  }
  for (std::size_t i = 0; i < values.size(); ++i) read_value(json[i], values[i], place / std::to_string(i), range);
}

template <class Json, class T>
void read_value(const Json& json, T& value, const JsonPlace& place, WholeRange range) {
  if constexpr (requires { EnumNames<T>::values; }) {
    read_enumerator(json, value, place);
  } else if constexpr (requires { value.begin(); }) {
    read_list(json, value, place, range);
  } else if constexpr (requires { value.reset(); }) {  // std::optional, whose numbers may be 0
    value.reset();
    if (!json.is_null()) read_value(json, value.emplace(), place, {0, range.high});
  } else if constexpr (std::is_same_v<T, bool>) {
    if (!json.is_boolean()) place.fail_with(json, "true or false");
    value = json.template get<bool>();
  } else if constexpr (std::is_floating_point_v<T>) {
    if (!json.is_number()) place.fail_with(json, "a number");
    value = json.template get<T>();
  } else if constexpr (std::is_integral_v<T>) {
    if (std::is_same_v<T, std::uint8_t>) range = {0, 255};
    if (!json.is_number_integer() || json < range.low || json > range.high)
      place.fail_with(json, concat("a whole number from ", range.low, " to ", range.high));
    value = json.template get<T>();
  } else {
    read_fields(json, value, place, range);
  }
}

template <class Json, class T>
Json write_value(const T& value) {
  if constexpr (requires { EnumNames<T>::values; }) {
    for (const auto& [name, enumerator] : EnumNames<T>::values) {
      if (value == enumerator) return name;
    }
    fail("[json] enumerator ", static_cast<int>(value), " has no name");
  } else if constexpr (requires { value.has_value(); }) {
    return value ? Json(*value) : Json();
  } else if constexpr (std::is_arithmetic_v<T> || requires { value.begin(); }) {
    return value;
  } else {
    Json json = Json::object();
    fields(value, [&](const char* name, const auto& field) { json[name] = write_value<Json>(field); });
    return json;
  }
}

}  // namespace fovea::io::detail
