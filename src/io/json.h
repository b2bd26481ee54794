// JSON as untrusted input. Private to the sources: no public header shows a JSON type.
#pragma once

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "fovea/core/error.h"

namespace fovea::io::detail {

constexpr int max_json_depth = 64;  // far more than any file we read has; writing a value recurses

// Parses one JSON value. Throws Error opening with `place` and naming the byte (counted from `first_byte`) where the
// text is malformed, and for what the parser would let pass: a key twice in one object, nesting deeper than any file
// we read needs (writing a value recurses), and a zero byte (the parser takes it for the end).
template <class Json>
Json parse_json(std::string_view text, const std::string& place, std::size_t first_byte = 0) {
  const std::size_t zero = text.find('\0');
  FOVEA_CHECK(zero == std::string_view::npos, place, ": zero byte in JSON text at byte ", first_byte + zero);
  std::vector<std::set<std::string>> keys;  // of the objects that are open
  const auto inspect = [&](int depth, typename Json::parse_event_t event, Json& parsed) {
    FOVEA_CHECK(depth <= max_json_depth, place, ": JSON nested deeper than ", max_json_depth, " levels");
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key) {
      const auto& key = parsed.template get_ref<const std::string&>();
      FOVEA_CHECK(keys.back().insert(key).second, place, ": key \"", key, "\" appears twice in one object");
    }
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), inspect);
  } catch (const typename Json::parse_error& error) {
    const std::string_view reason = error.what();
    const std::size_t prefix = reason.find("] ");  // "[json.exception.parse_error.101] "
    fail(place, ": not valid JSON at byte ", first_byte + (error.byte > 0 ? error.byte - 1 : 0), ": ",
         reason.substr(prefix == std::string_view::npos ? 0 : prefix + 2));
  } catch (const typename Json::exception& error) {
    fail(place, ": not valid JSON: ", error.what());
  }
}

}  // namespace fovea::io::detail
