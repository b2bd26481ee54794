// The queries of a file, to be found in captions. Private to the sources.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "fovea/core/hash.h"

namespace fovea::data::detail {

constexpr std::uint32_t none_found = ~std::uint32_t{0};  // no query of a table

class QueryTable {
 public:
  // One query a line; what stands behind a tab is ignored. Queries are cut into words as captions are, and equal ones
  // are one. Throws Error when the file cannot be read or has no query.
  explicit QueryTable(const std::string& path);

  std::int64_t size() const { return static_cast<std::int64_t>(names_.size()); }
  const std::string& operator[](std::uint32_t query) const { return names_[query]; }
  // The queries that are among the words, as neighbours in their order: each once.
  void find(std::string_view words, std::vector<std::uint32_t>& found) const;

 private:
  struct KeyHash {
    std::size_t operator()(const Hash128& key) const { return static_cast<std::size_t>(key.low); }
  };
  std::vector<std::string> names_;  // as words
  std::unordered_map<Hash128, std::uint32_t, KeyHash> numbers_;
  std::size_t longest_ = 0;  // words
};

}  // namespace fovea::data::detail
