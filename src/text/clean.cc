#include "fovea/text/clean.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "fovea/core/error.h"
#include "text/fix_text.h"
#include "text/html_entities.h"
#include "text/unicode.h"

namespace fovea::text {
namespace {

using detail::append_utf8;
using detail::code_point_at;

// Control characters and noncharacters, which html.unescape drops.
bool is_dropped(std::int32_t value) {
  return (value >= 0x1 && value <= 0x8) || value == 0xB || (value >= 0xE && value <= 0x1F) || value == 0x7F ||
         (value >= 0xFDD0 && value <= 0xFDEF) || (value & 0xFFFE) == 0xFFFE;
}

void append_numbered(std::string& out, std::int32_t value) {
  if (value >= 0x80 && value <= 0x9F) {  // as browsers do (the HTML standard, "numeric character reference end state")
    append_utf8(out, detail::windows_1252[value - 0x80]);
  } else if (value == 0 || (value >= 0xD800 && value <= 0xDFFF) || value > 0x10FFFF) {
    append_utf8(out, 0xFFFD);
  } else if (!is_dropped(value)) {
    append_utf8(out, value);
  }
}

// The value of a digit, or -1.
int digit_value(char c, int base) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return base == 16 && lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// Appends what the numeric reference at the head of `text` ("#233;...") stands for; returns its length, 0 for none.
std::size_t append_numeric_reference(std::string& out, std::string_view text) {
  const bool hex = text.size() > 1 && (text[1] | 0x20) == 'x';
  const std::size_t first = hex ? 2 : 1;
  const int base = hex ? 16 : 10;
  std::size_t end = first;
  std::int32_t value = 0;
  for (; end < text.size() && digit_value(text[end], base) >= 0; ++end) {
    value = std::min(value * base + digit_value(text[end], base), 0x110000);
  }
  if (end == first) return 0;
  append_numbered(out, value);
  return end < text.size() && text[end] == ';' ? end + 1 : end;
}

// The same for a named reference ("eacute;..."): the longest known name that the text begins with.
std::size_t append_named_reference(std::string& out, std::string_view text) {
  constexpr std::size_t longest_name = 32, shortest_name = 2;
  const auto entities = detail::html_entities();
  for (std::size_t length = std::min(longest_name, text.size()); length >= shortest_name; --length) {
    const std::string_view name = text.substr(0, length);
    const auto found = std::ranges::lower_bound(entities, name, {}, &detail::HtmlEntity::name);
    if (found != entities.end() && found->name == name) {
      out += found->text;
      return length;
    }
  }
  return 0;
}

}  // namespace

std::string clean(std::string_view text) {
  return lower_case(collapse_white_space(unescape_html(unescape_html(normal_form(text, NormalForm::c)))));
}

std::string clean_like_open_clip(std::string_view text) {
  const std::string fixed = detail::fix_text(replace_invalid_utf8(text));
  return lower_case_with_final_sigma(collapse_white_space(unescape_html(unescape_html(fixed))));
}

std::string canonicalize(std::string_view text) {
  std::string kept;
  for (const char c : lower_case_with_final_sigma(replace_invalid_utf8(text))) {
    const bool punctuation =
        (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
    if (punctuation) continue;
    kept += c >= '\x1c' && c <= '\x1f' ? ' ' : c;  // white space for Python, not for Unicode
  }
  return collapse_white_space(kept);
}

std::string replace_invalid_utf8(std::string_view text) {
  if (detail::is_ascii(text)) return std::string(text);
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const auto point = code_point_at(text, at);
    append_utf8(out, point.value);
    at += point.bytes;
  }
  return out;
}

std::string normal_form(std::string_view text, NormalForm form) {
  if (detail::is_ascii(text)) return std::string(text);
  const bool composed = form == NormalForm::c || form == NormalForm::kc;
  const bool compatible = form == NormalForm::kc || form == NormalForm::kd;
  const int options =
      UTF8PROC_STABLE | (composed ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE) | (compatible ? UTF8PROC_COMPAT : 0);
  const std::string valid = replace_invalid_utf8(text);
  utf8proc_uint8_t* mapped = nullptr;
  const auto length =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(valid.data()), static_cast<utf8proc_ssize_t>(valid.size()),
                   &mapped, static_cast<utf8proc_option_t>(options));
  FOVEA_CHECK(length >= 0, "[clean] cannot normalize ", valid.size(), " bytes of text: ", utf8proc_errmsg(length));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(mapped, &std::free);
  return std::string(mapped, mapped + length);
}

std::string unescape_html(std::string_view text) {
  std::string out;
  while (true) {
    const std::size_t ampersand = text.find('&');
    out += text.substr(0, ampersand);
    if (ampersand == std::string_view::npos) return out;
    text.remove_prefix(ampersand + 1);
    const bool numeric = text.starts_with('#');
    const std::size_t length = numeric ? append_numeric_reference(out, text) : append_named_reference(out, text);
    if (length == 0) out += '&';
    text.remove_prefix(length);
  }
}

std::string collapse_white_space(std::string_view text) {
  std::string out;
  bool pending = false;
  for (std::size_t at = 0; at < text.size();) {
    const auto point = code_point_at(text, at);
    if (detail::is_white_space(point.value)) {
      pending = !out.empty();
    } else {
      if (pending) out += ' ';
      pending = false;
      out += text.substr(at, point.bytes);
    }
    at += point.bytes;
  }
  return out;
}

std::string lower_case(std::string_view text) {
  constexpr std::int32_t capital_i_with_dot = 0x130;  // the one character whose lower case is two: i, combining dot
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const auto point = code_point_at(text, at);
    if (point.value < 0x80) {
      out += static_cast<char>(point.value >= 'A' && point.value <= 'Z' ? point.value + 0x20 : point.value);
    } else if (point.value == capital_i_with_dot) {
      out += "i\u0307";
    } else {
      append_utf8(out, utf8proc_tolower(point.value));
    }
    at += point.bytes;
  }
  return out;
}

std::string lower_case_with_final_sigma(std::string_view text) {
  constexpr std::string_view capital = "Σ", small = "σ", final = "ς";
  std::string out = lower_case(text);
  if (text.find(capital) == std::string_view::npos) return out;
  out.clear();
  bool after_cased = false;  // the last character that counts is a letter with case
  for (std::size_t at = 0; at < text.size();) {
    const auto point = code_point_at(text, at);
    const std::string_view bytes = text.substr(at, point.bytes);
    at += point.bytes;
    if (bytes == capital) {
      out += after_cased && !detail::cased_letter_follows(text.substr(at)) ? final : small;
    } else {
      out += lower_case(bytes);
    }
    if (!detail::is_case_ignorable(point.value)) after_cased = detail::is_cased(point.value);
  }
  return out;
}

}  // namespace fovea::text
