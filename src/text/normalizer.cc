#include "text/normalizer.h"

#include <utility>

#include "fovea/core/error.h"
#include "fovea/text/clean.h"
#include "text/bpe_symbols.h"
#include "text/unicode.h"

namespace fovea::text::detail {
namespace {

// The text without the code points for which `dropped` holds.
template <class F>
std::string without(std::string_view text, F&& dropped) {
  std::string out;
  for_each_code_point(text, [&](std::int32_t value, std::string_view bytes) {
    if (!dropped(value)) out += bytes;
  });
  return out;
}

bool is_cjk_ideograph(std::int32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
         (c >= 0x2A700 && c <= 0x2B73F) || (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

// Controls are dropped first, so that of them only tab and line ends count as white space.
std::string clean_for_bert(std::string_view text) {
  std::string out;
  for_each_code_point(text, [&](std::int32_t value, std::string_view bytes) {
    const bool kept_control = value == '\t' || value == '\n' || value == '\r';
    if (value == 0 || value == 0xFFFD || (is_control_or_private(value) && !kept_control)) return;
    if (is_white_space(value)) {
      out += ' ';
    } else {
      out += bytes;
    }
  });
  return out;
}

std::string space_ideographs(std::string_view text) {
  std::string out;
  for_each_code_point(text, [&](std::int32_t value, std::string_view bytes) {
    if (is_cjk_ideograph(value)) {
      out += concat(" ", bytes, " ");
    } else {
      out += bytes;
    }
  });
  return out;
}

std::string strip(std::string_view text, const StripSpace& sides) {
  while (sides.left && !text.empty() && is_white_space(code_point_at(text, 0).value)) {
    text.remove_prefix(code_point_at(text, 0).bytes);
  }
  while (sides.right && !text.empty() && is_white_space(last_code_point(text).value)) {
    text.remove_suffix(last_code_point(text).bytes);
  }
  return std::string(text);
}

// By grapheme clusters of fewer than 6 bytes, else by characters.
std::string replace_graphemes(std::string_view text, const Charsmap& charsmap) {
  constexpr std::size_t longest_cluster = 5;
  std::string out;
  for_each_grapheme(text, [&](std::string_view grapheme) {
    if (grapheme.size() <= longest_cluster) {
      if (const auto rule = charsmap.shortest(grapheme)) return void(out += rule->replacement);
    }
    for_each_code_point(grapheme, [&](std::int32_t, std::string_view character) {
      const auto rule = charsmap.shortest(character);
      out += rule ? rule->replacement : character;
    });
  });
  return out;
}

struct Apply {
  std::string text;

  std::string operator()(const NormalizerSequence& sequence) {
    if (sequence.cleaning) return *sequence.cleaning == "clip" ? clean(text) : clean_like_open_clip(text);
    const std::size_t original = text.size();
    for (const Normalizer& normalizer : sequence.normalizers) {
      text = normalizer(std::move(text));
      check_growth(text.size(), original);
    }
    return std::move(text);
  }
  std::string operator()(const Nfc&) { return normal_form(text, NormalForm::c); }
  std::string operator()(const Nfd&) { return normal_form(text, NormalForm::d); }
  std::string operator()(const Nfkc&) { return normal_form(text, NormalForm::kc); }
  std::string operator()(const Nfkd&) { return normal_form(text, NormalForm::kd); }
  std::string operator()(const Lowercase&) { return lower_case(text); }
  std::string operator()(const StripAccents&) { return without(text, is_mark); }
  std::string operator()(const StripSpace& sides) { return strip(text, sides); }
  std::string operator()(const Replace& replace) { return replace.pattern.replace(text, replace.content); }
  std::string operator()(const Prepend& prefix) { return text.empty() ? text : prefix.prepend + text; }
  std::string operator()(const ByteLevelNormalizer&) { return spell(text); }
  std::string operator()(const Precompiled& table) { return replace_graphemes(text, table.charsmap); }
  std::string operator()(const BertNormalizer& bert) {
    if (bert.clean_text) text = clean_for_bert(text);
    if (bert.handle_chinese_chars) text = space_ideographs(text);
    if (bert.strip_accents.value_or(bert.lowercase)) {
      text = without(normal_form(text, NormalForm::d), is_nonspacing_mark);
    }
    return bert.lowercase ? lower_case(text) : std::move(text);
  }
};

}  // namespace

std::string Normalizer::operator()(std::string text) const {
  const std::size_t original = text.size();
  std::string result = std::visit(Apply{std::move(text)}, part);
  check_growth(result.size(), original);
  return result;
}

}  // namespace fovea::text::detail
