// Code points of UTF-8 text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace fovea::text::detail {

struct CodePoint {
  std::int32_t value;  // U+FFFD where the bytes are ill-formed
  std::size_t bytes;   // how many bytes it took; of an ill-formed sequence, its maximal part
};

// The code point at `position`, which must lie inside `text`.
CodePoint code_point_at(std::string_view text, std::size_t position);

// The last code point of well-formed text that is not empty.
CodePoint last_code_point(std::string_view text);

void append_utf8(std::string& out, std::int32_t code_point);

// Calls f(value, bytes of the text) for each code point.
template <class F>
void for_each_code_point(std::string_view text, F&& f) {
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint point = code_point_at(text, at);
    f(point.value, text.substr(at, point.bytes));
    at += point.bytes;
  }
}

// How many bytes of well-formed text its first grapheme cluster has (Unicode Standard Annex 29).
std::size_t grapheme_bytes(std::string_view text);

// Calls f(bytes of the text) for each grapheme cluster.
template <class F>
void for_each_grapheme(std::string_view text, F&& f) {
  while (!text.empty()) {
    const std::size_t bytes = grapheme_bytes(text);
    f(text.substr(0, bytes));
    text.remove_prefix(bytes);
  }
}

bool is_ascii(std::string_view text);
bool is_letter(std::int32_t code_point);              // \p{L}
bool is_number(std::int32_t code_point);              // \p{N}
bool is_decimal_digit(std::int32_t code_point);       // \p{Nd}
bool is_white_space(std::int32_t code_point);         // \s: the White_Space property
bool is_mark(std::int32_t code_point);                // \p{M}
bool is_nonspacing_mark(std::int32_t code_point);     // \p{Mn}
bool is_punctuation(std::int32_t code_point);         // \p{P}, and ASCII's symbols
bool is_control_or_private(std::int32_t code_point);  // \p{Cc}, \p{Cf}, \p{Co}
bool is_word_character(std::int32_t code_point);      // \w: alphabetic, marks, decimal digits, connectors, joiners

std::int32_t to_upper(std::int32_t code_point);  // one character for one

// Case, for the rule of the final sigma (The Unicode Standard, section 3.13).
bool is_cased(std::int32_t code_point);
bool is_case_ignorable(std::int32_t code_point);
// Whether the first character of the text that is not case-ignorable has case.
bool cased_letter_follows(std::string_view text);

// The characters of Windows-1252 in place of U+0080 to U+009F.
inline constexpr std::int32_t windows_1252[32] = {0x20AC, 0x0081, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021,
                                                  0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0x008D, 0x017D, 0x008F,
                                                  0x0090, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014,
                                                  0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0x009D, 0x017E, 0x0178};

}  // namespace fovea::text::detail
