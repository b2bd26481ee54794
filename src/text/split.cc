#include "fovea/text/split.h"

#include "text/unicode.h"

namespace fovea::text {
namespace {

enum class Kind { space, letter, number, other };

Kind kind_of(std::int32_t code_point, Case letter_case = Case::matters) {
  constexpr std::int32_t combining_iota = 0x345;
  if (letter_case == Case::ignored && code_point == combining_iota) return Kind::space;
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

// The end of the run of characters of one kind that begins at `at`.
std::size_t run_end(std::string_view text, std::size_t at, Kind kind, Case letter_case = Case::matters) {
  while (at < text.size()) {
    const auto next = detail::code_point_at(text, at);
    if (kind_of(next.value, letter_case) != kind) break;
    at += next.bytes;
  }
  return at;
}

// The end of the white space at `at`, which leaves its last character to the word that follows.
std::size_t space_end(std::string_view text, std::size_t at) {
  const std::size_t end = run_end(text, at, Kind::space);
  if (end == text.size()) return end;
  const std::size_t last = end - detail::last_code_point(text.substr(at, end - at)).bytes;
  return last > at ? last : end;
}

}  // namespace

std::vector<std::string_view> split_words(std::string_view cleaned, Case letter_case) {
  constexpr std::string_view long_s = "'ſ";
  std::vector<std::string_view> words;
  for (std::size_t at = 0; at < cleaned.size();) {
    const auto first = detail::code_point_at(cleaned, at);
    const Kind kind = kind_of(first.value, letter_case);
    std::size_t end = at + first.bytes;
    if (const std::size_t contraction = contraction_length(cleaned.substr(at))) {
      end = at + contraction;
    } else if (letter_case == Case::ignored && cleaned.substr(at).starts_with(long_s)) {
      end = at + long_s.size();
    } else if (kind == Kind::letter || kind == Kind::other) {
      end = run_end(cleaned, end, kind, letter_case);
    }
    if (kind != Kind::space) words.push_back(cleaned.substr(at, end - at));
    at = end;
  }
  return words;
}

std::vector<std::string_view> split_gpt2_words(std::string_view text) {
  std::vector<std::string_view> words;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t word = at + (text[at] == ' ' && at + 1 < text.size() ? 1 : 0);
    const Kind kind = kind_of(detail::code_point_at(text, word).value);
    std::size_t end = 0;
    if (const std::size_t contraction = contraction_length(text.substr(at))) {
      end = at + contraction;
    } else {
      end = kind == Kind::space ? space_end(text, at) : run_end(text, word, kind);
    }
    words.push_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

}  // namespace fovea::text
