// SentencePiece's table of characters and what they become: a double array over the bytes of what is replaced
// (google/sentencepiece, normalizer.cc; s-yata/darts-clone), followed by the replacements.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::text::detail {

class Charsmap {
 public:
  // A rule that a text begins with: how many of its bytes are replaced, and by what.
  struct Match {
    std::size_t length;
    std::string_view replacement;
  };

  Charsmap() = default;  // replaces nothing
  // Throws Error opening with `place` when the bytes are no such table.
  Charsmap(std::string bytes, const std::string& place);

  bool empty() const { return units_.empty(); }
  const std::string& bytes() const { return bytes_; }

  // Of the rules that the text begins with, the one that replaces most, or least; none where there is no rule.
  std::optional<Match> longest(std::string_view text) const;
  std::optional<Match> shortest(std::string_view text) const;

 private:
  template <class F>
  void each(std::string_view text, F&& f) const;
  std::string_view replacement(std::size_t offset) const;

  std::string bytes_;
  std::vector<std::uint32_t> units_;
  std::size_t replacements_ = 0;  // where they begin in `bytes_`
};

}  // namespace fovea::text::detail
