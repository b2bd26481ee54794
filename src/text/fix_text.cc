#include "text/fix_text.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "fovea/text/clean.h"
#include "text/html_entities.h"
#include "text/unicode.h"

namespace fovea::text::detail {
namespace {

using Mapping = std::pair<std::int32_t, std::string_view>;

// Ligatures of Latin letters, in the order of their code points.
constexpr Mapping ligatures[] = {
    {0x132, "IJ"},   {0x133, "ij"},   {0x149, "ʼn"},  {0x1C4, "DŽ"},  {0x1C5, "Dž"},  {0x1C6, "dž"},
    {0x1C7, "LJ"},   {0x1C8, "Lj"},   {0x1C9, "lj"},  {0x1CA, "NJ"},  {0x1CB, "Nj"},  {0x1CC, "nj"},
    {0x1F1, "DZ"},   {0x1F2, "Dz"},   {0x1F3, "dz"},  {0xFB00, "ff"}, {0xFB01, "fi"}, {0xFB02, "fl"},
    {0xFB03, "ffi"}, {0xFB04, "ffl"}, {0xFB05, "ſt"}, {0xFB06, "st"},
};

bool is_dropped_control(std::int32_t c) {
  return c <= 0x08 || c == 0x0B || (c >= 0x0E && c <= 0x1F) || c == 0x7F || (c >= 0x206A && c <= 0x206F) ||
         c == 0xFEFF || (c >= 0xFFF9 && c <= 0xFFFC);
}

// Upper case of what a reference stands for.
std::string upper_case(std::string_view text) {
  constexpr std::pair<std::string_view, std::string_view> longer[] = {
      {"ß", "SS"}, {"ŉ", "ʼN"}, {"ﬀ", "FF"}, {"ﬁ", "FI"}, {"ﬂ", "FL"}, {"ﬃ", "FFI"}, {"ﬄ", "FFL"}};
  for (const auto& [small, capitals] : longer) {
    if (text == small) return std::string(capitals);
  }
  std::string out;
  for_each_code_point(text, [&](std::int32_t value, std::string_view) { append_utf8(out, to_upper(value)); });
  return out;
}

// A reference with its semicolon as ftfy reads it: HTML's names, those of lower case also in capitals, and numbers.
// None when it stands for nothing.
std::string reference(std::string_view whole) {
  const std::string_view name = whole.substr(1);
  const auto entities = html_entities();
  const auto find = [&](std::string_view wanted) {
    const auto found = std::ranges::lower_bound(entities, wanted, {}, &HtmlEntity::name);
    return found != entities.end() && found->name == wanted ? found->text : std::string_view();
  };
  if (const std::string_view text = find(name); !text.empty()) return std::string(text);
  const std::string unescaped = unescape_html(whole);
  if (name.starts_with('#')) return unescaped.find(';') == std::string::npos ? unescaped : std::string(whole);
  std::string lower(name);
  for (char& c : lower) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 0x20 : c);
  const bool capitals = std::ranges::none_of(name, [](char c) { return c >= 'a' && c <= 'z'; });
  const std::string_view text = capitals && unescaped == whole ? find(lower) : std::string_view();
  return text.empty() ? std::string(whole) : upper_case(text);
}

// The length of "&name;" or "&#number;" at the head of the text; 0 for none.
std::size_t reference_length(std::string_view text) {
  constexpr std::size_t longest = 24;
  const std::size_t first = text.substr(1).starts_with('#') ? 2 : 1;
  std::size_t end = first;
  const auto is_alphanumeric = [](char c) {
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
  };
  while (end < text.size() && end < first + longest && is_alphanumeric(text[end])) ++end;
  return end > first && end < text.size() && text[end] == ';' ? end + 1 : 0;
}

std::string replace_references(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = text[at] == '&' ? reference_length(text.substr(at)) : 0;
    if (length > 0) {
      out += reference(text.substr(at, length));
      at += length;
    } else {
      out += text[at++];
    }
  }
  return out;
}

// What one character becomes, for all the repairs that look at one character.
void append_fixed(std::string& out, std::int32_t c, std::string_view bytes) {
  const auto* ligature = std::ranges::lower_bound(ligatures, c, {}, &Mapping::first);
  if (c >= 0x80 && c <= 0x9F) {
    append_utf8(out, windows_1252[c - 0x80]);
  } else if (ligature != std::end(ligatures) && ligature->first == c) {
    out += ligature->second;
  } else if (c == 0x3000) {
    out += ' ';
  } else if (c > 0xFF00 && c < 0xFFF0) {
    out += normal_form(bytes, NormalForm::kc);
  } else if (c == 0x2BC || (c >= 0x2018 && c <= 0x201B)) {
    out += '\'';
  } else if (c >= 0x201C && c <= 0x201F) {
    out += '"';
  } else if (c == '\r' || c == 0x2028 || c == 0x2029) {
    out += '\n';
  } else {
    out += bytes;
  }
}

// The length of the terminal's escape sequence at the head of the text: ESC [ digits and semicolons, a letter.
std::size_t terminal_escape_length(std::string_view text) {
  if (!text.starts_with("\x1b[")) return 0;
  for (std::size_t at = 2; at < text.size();) {
    const CodePoint point = code_point_at(text, at);
    at += point.bytes;
    const std::int32_t letter = point.value | 0x20;
    if (letter >= 'a' && letter <= 'z' && point.value < 0x80) return at;
    if (point.value != ';' && !is_decimal_digit(point.value)) return 0;
  }
  return 0;
}

std::string drop_controls(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    if (const std::size_t escape = terminal_escape_length(text.substr(at))) {
      at += escape;
      continue;
    }
    const CodePoint point = code_point_at(text, at);
    if (!is_dropped_control(point.value)) out += text.substr(at, point.bytes);
    at += point.bytes;
  }
  return out;
}

std::string fix_once(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint point = code_point_at(text, at);
    if (text.substr(at).starts_with("\r\n")) ++at;  // the two are one line end
    append_fixed(out, point.value, text.substr(at, point.bytes));
    at += point.bytes;
  }
  return normal_form(drop_controls(out), NormalForm::c);
}

// What one repair makes may be repaired again. Ordinary text needs two passes; references written to unfold without end
// are given up on.
std::string fix_line(std::string text, bool replaces_references) {
  constexpr int most_passes = 64;
  for (int pass = 0; pass < most_passes; ++pass) {
    std::string fixed = fix_once(replaces_references ? replace_references(text) : text);
    if (fixed == text) break;
    text = std::move(fixed);
  }
  return text;
}

}  // namespace

std::string fix_text(std::string_view text) {
  std::string out;
  bool replaces_references = true;  // markup that means something holds "<"
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size() - 1) + 1;
    const std::string_view line = text.substr(0, end);
    if (line.find('<') != std::string_view::npos) replaces_references = false;
    out += fix_line(std::string(line), replaces_references);
    text.remove_prefix(end);
  }
  return out;
}

}  // namespace fovea::text::detail
