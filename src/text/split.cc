#include "fovea/text/split.h"

#include "text/unicode.h"

namespace fovea::text {
namespace {

enum class Kind { space, letter, number, other };

Kind kind_of(std::int32_t code_point) {
  if (detail::is_white_space(code_point)) return Kind::space;
  if (detail::is_letter(code_point)) return Kind::letter;
  return detail::is_number(code_point) ? Kind::number : Kind::other;
}

// The bytes of the contraction that `text` begins with, or 0.
std::size_t contraction_length(std::string_view text) {
  if (!text.starts_with('\'')) return 0;
  for (const std::string_view contraction : {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"}) {
    if (text.starts_with(contraction)) return contraction.size();
  }
  return 0;
}

}  // namespace

std::vector<std::string_view> split_words(std::string_view cleaned) {
  std::vector<std::string_view> words;
  for (std::size_t at = 0; at < cleaned.size();) {
    const auto first = detail::code_point_at(cleaned, at);
    const Kind kind = kind_of(first.value);
    std::size_t end = at + first.bytes;
    if (const std::size_t contraction = contraction_length(cleaned.substr(at))) {
      end = at + contraction;
    } else if (kind == Kind::letter || kind == Kind::other) {
      while (end < cleaned.size()) {
        const auto next = detail::code_point_at(cleaned, end);
        if (kind_of(next.value) != kind) break;
        end += next.bytes;
      }
    }
    if (kind != Kind::space) words.push_back(cleaned.substr(at, end - at));
    at = end;
  }
  return words;
}

}  // namespace fovea::text
