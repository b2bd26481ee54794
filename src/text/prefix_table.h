// Strings with ids, and those that a text begins with.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fovea::text::detail {

class PrefixTable {
 public:
  struct Match {
    std::size_t length = 0;  // 0: none
    std::int32_t id = -1;
  };

  void add(std::string text, std::int32_t id) {
    if (!text.empty()) entries_.emplace_back(std::move(text), id);
  }
  // Call once after the last add. Of equal strings the first one added counts.
  void sort() {
    std::ranges::stable_sort(entries_, {}, &Entry::first);
    for (std::size_t& begin : first_byte_) begin = 0;
    for (const Entry& entry : entries_) ++first_byte_[static_cast<unsigned char>(entry.first[0]) + 1u];
    for (std::size_t byte = 0; byte < 256; ++byte) first_byte_[byte + 1] += first_byte_[byte];
  }
  bool empty() const { return entries_.empty(); }

  Match longest(std::string_view text) const {
    Match match;
    for_each_match(text, [&](std::size_t length, std::int32_t id) { match = {length, id}; });
    return match;
  }
  // Calls f(length, id) for every string that the text begins with, the shortest first: narrows the sorted entries byte
  // by byte to those that the text begins with.
  template <class F>
  void for_each_match(std::string_view text, F&& f) const {
    if (text.empty()) return;
    const auto byte = static_cast<unsigned char>(text[0]);
    std::size_t low = first_byte_[byte], high = first_byte_[byte + 1u];
    for (std::size_t length = 1; low < high; ++length) {
      if (entries_[low].first.size() == length) {
        f(length, entries_[low].second);
        while (low < high && entries_[low].first.size() == length) ++low;
      }
      if (length == text.size()) break;
      const auto by_byte = [length](const Entry& entry) { return static_cast<unsigned char>(entry.first[length]); };
      const auto next = static_cast<unsigned char>(text[length]);
      const auto first = entries_.begin() + static_cast<std::ptrdiff_t>(low);
      const auto last = entries_.begin() + static_cast<std::ptrdiff_t>(high);
      low = static_cast<std::size_t>(std::ranges::lower_bound(first, last, next, {}, by_byte) - entries_.begin());
      high = static_cast<std::size_t>(std::ranges::upper_bound(first, last, next, {}, by_byte) - entries_.begin());
    }
  }

 private:
  using Entry = std::pair<std::string, std::int32_t>;
  std::vector<Entry> entries_;
  std::size_t first_byte_[257] = {};  // where the entries that begin with a byte begin
};

}  // namespace fovea::text::detail
