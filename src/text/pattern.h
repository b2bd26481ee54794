// What tokenizer files cut and replace by: {"String": "..."} or {"Regex": "..."}.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/regex.h"

namespace fovea::text::detail {

class Pattern {
 public:
  Pattern() = default;
  static Pattern of_string(std::string text);
  // Throws Error opening with `place`, see Regex.
  static Pattern of_regex(std::string text, const std::string& place = "[tokenizer] ");

  bool is_regex() const { return regex_.has_value(); }
  const std::string& text() const { return text_; }

  // Where it matches, from left to right.
  std::vector<Range> matches(std::string_view text) const;
  // The text with `content` in place of every match. Throws Error when it grows without measure.
  std::string replace(std::string_view text, std::string_view content) const;

 private:
  std::string text_;
  std::optional<Regex> regex_;
};

// Throws Error when `size` bytes have come from so few that the file must be hostile.
void check_growth(std::size_t size, std::size_t original);

}  // namespace fovea::text::detail
