#include "text/unicode.h"

#include <utf8proc.h>

#include <algorithm>

namespace fovea::text::detail {
namespace {

constexpr std::int32_t replacement = 0xFFFD;

// Well-formed sequences by their first byte (The Unicode Standard, table 3-7): the length, and the range of the second
// byte, which is narrower than 80..BF where overlong forms, surrogates and values above U+10FFFF would begin.
struct Lead {
  std::size_t length;
  unsigned char low, high;
};

Lead lead_of(unsigned char byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte >= 0xC2 && byte <= 0xDF) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte >= 0xE1 && byte <= 0xEF) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte >= 0xF1 && byte <= 0xF3) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

}  // namespace

CodePoint code_point_at(std::string_view text, std::size_t position) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[position + i]); };
  const Lead lead = lead_of(byte(0));
  if (lead.length == 0) return {replacement, 1};
  if (lead.length == 1) return {byte(0), 1};
  std::int32_t value = byte(0) & (0x7F >> lead.length);
  for (std::size_t i = 1; i < lead.length; ++i) {
    const unsigned char low = i == 1 ? lead.low : 0x80, high = i == 1 ? lead.high : 0xBF;
    if (position + i >= text.size() || byte(i) < low || byte(i) > high) return {replacement, i};
    value = (value << 6) | (byte(i) & 0x3F);
  }
  return {value, lead.length};
}

CodePoint last_code_point(std::string_view text) {
  std::size_t start = text.size() - 1;
  while (start > 0 && (static_cast<unsigned char>(text[start]) & 0xC0) == 0x80) --start;
  return code_point_at(text, start);
}

void append_utf8(std::string& out, std::int32_t code_point) {
  utf8proc_uint8_t bytes[4];
  const auto count = utf8proc_encode_char(code_point, bytes);
  out.append(bytes, bytes + count);
}

std::size_t grapheme_bytes(std::string_view text) {
  CodePoint before = code_point_at(text, 0);
  std::size_t bytes = before.bytes;
  for (utf8proc_int32_t state = 0; bytes < text.size();) {
    const CodePoint point = code_point_at(text, bytes);
    if (utf8proc_grapheme_break_stateful(before.value, point.value, &state)) break;
    bytes += point.bytes;
    before = point;
  }
  return bytes;
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

bool is_letter(std::int32_t code_point) {
  const auto category = utf8proc_category(code_point);
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

bool is_number(std::int32_t code_point) {
  const auto category = utf8proc_category(code_point);
  return category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO;
}

bool is_decimal_digit(std::int32_t code_point) { return utf8proc_category(code_point) == UTF8PROC_CATEGORY_ND; }

bool is_white_space(std::int32_t code_point) {
  if (code_point < 0x80) return code_point == ' ' || (code_point >= '\t' && code_point <= '\r');
  if (code_point == 0x85) return true;
  const auto category = utf8proc_category(code_point);
  return category >= UTF8PROC_CATEGORY_ZS && category <= UTF8PROC_CATEGORY_ZP;
}

bool is_mark(std::int32_t code_point) {
  const auto category = utf8proc_category(code_point);
  return category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ME;
}

bool is_nonspacing_mark(std::int32_t code_point) { return utf8proc_category(code_point) == UTF8PROC_CATEGORY_MN; }

bool is_punctuation(std::int32_t code_point) {
  if (code_point < 0x80) {
    const bool printable = code_point > ' ' && code_point < 0x7F;
    const bool letter = (code_point | 0x20) >= 'a' && (code_point | 0x20) <= 'z';
    return printable && !letter && !(code_point >= '0' && code_point <= '9');
  }
  const auto category = utf8proc_category(code_point);
  return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

bool is_control_or_private(std::int32_t code_point) {
  const auto category = utf8proc_category(code_point);
  return category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CF || category == UTF8PROC_CATEGORY_CO;
}

bool is_word_character(std::int32_t code_point) {
  switch (utf8proc_category(code_point)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC: return true;
    case UTF8PROC_CATEGORY_SO:  // letters in circles and squares are alphabetic
      return (code_point >= 0x24B6 && code_point <= 0x24E9) || (code_point >= 0x1F130 && code_point <= 0x1F149) ||
             (code_point >= 0x1F150 && code_point <= 0x1F169) || (code_point >= 0x1F170 && code_point <= 0x1F189);
    default: return code_point == 0x200C || code_point == 0x200D;
  }
}

std::int32_t to_upper(std::int32_t code_point) { return utf8proc_toupper(code_point); }

bool is_cased(std::int32_t code_point) {
  const auto category = utf8proc_category(code_point);
  if (category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL || category == UTF8PROC_CATEGORY_LT) {
    return true;
  }
  // Numerals, letters in circles, and the ordinal indicators ª and º.
  return utf8proc_tolower(code_point) != code_point || utf8proc_toupper(code_point) != code_point ||
         code_point == 0xAA || code_point == 0xBA;
}

bool is_case_ignorable(std::int32_t code_point) {
  switch (utf8proc_category(code_point)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK: return true;
    default: break;
  }
  constexpr std::int32_t inside_words[] = {0x27,   0x2E,   0x3A,   0xB7,   0x387,  0x55F,  0x5F4,  0x2018, 0x2019,
                                           0x2024, 0x2027, 0xFE13, 0xFE52, 0xFE55, 0xFF07, 0xFF0E, 0xFF1A};
  return std::ranges::find(inside_words, code_point) != std::ranges::end(inside_words);
}

bool cased_letter_follows(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint point = code_point_at(text, at);
    if (!is_case_ignorable(point.value)) return is_cased(point.value);
    at += point.bytes;
  }
  return false;
}

}  // namespace fovea::text::detail
