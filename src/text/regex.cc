#include "text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>

#include "fovea/core/error.h"
#include "text/unicode.h"

namespace fovea::text::detail {
namespace {

// Inside brackets: Oniguruma's \s is the White_Space property, its \w covers marks, all alphabetic characters
// and all numbers.
constexpr std::string_view white_space =
    R"(\t-\r\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
constexpr std::string_view word = R"(\p{Alphabetic}\p{M}\p{N}\p{Pc})";

// Rewrites a pattern from left to right.
class Translator {
 public:
  Translator(std::string_view pattern, const std::string& place) : pattern_(pattern), place_(place) {}

  std::string run() {
    while (at_ < pattern_.size()) {
      switch (pattern_[at_]) {
        case '\\': escape(false); break;
        case '[': bracket(); break;
        case '(': group(); break;
        case '{': braces(); break;
        default: out_ += pattern_[at_++];
      }
    }
    return std::move(out_);
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    fail(place_, "the regular expression \"", pattern_, "\" uses ", what, " at byte ", at_, ", which is not supported");
  }
  bool looking_at(std::string_view text) const { return pattern_.substr(at_).starts_with(text); }
  void copy(std::size_t bytes) {
    out_ += pattern_.substr(at_, bytes);
    at_ += bytes;
  }

  void escape(bool in_brackets) {
    if (at_ + 1 >= pattern_.size()) refuse("a backslash at its end");
    const char letter = pattern_[at_ + 1];
    const auto replace = [&](std::string_view text) {
      out_ += text;
      at_ += 2;
    };
    const auto set = [&](std::string_view members, bool negated) {
      if (in_brackets && negated) refuse("a negated class inside brackets");
      replace(in_brackets ? std::string(members) : concat(negated ? "[^" : "[", members, "]"));
    };
    switch (letter) {
      case 's': return set(white_space, false);
      case 'S': return in_brackets ? copy(2) : set(white_space, true);
      case 'w': return set(word, false);
      case 'W': return set(word, true);
      case 'h': return set("0-9a-fA-F", false);
      case 'H': return set("0-9a-fA-F", true);
      case 'v': return replace("\\x0b");
      case 'b':
        if (in_brackets) return replace("\\x08");
        return replace(concat("(?:(?<=[", word, "])(?![", word, "])|(?<![", word, "])(?=[", word, "]))"));
      case 'B':
        if (in_brackets) refuse("\\B inside brackets");
        return replace(concat("(?:(?<=[", word, "])(?=[", word, "])|(?<![", word, "])(?![", word, "]))"));
      case 'u':
        if (at_ + 6 > pattern_.size()) refuse("\\u without four digits");
        out_ += concat("\\x{", pattern_.substr(at_ + 2, 4), "}");
        at_ += 6;
        return;
      case 'x': return hexadecimal();
      default: break;
    }
    const bool is_letter = (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z');
    constexpr std::string_view same = "dDpPAzZntrfaekXR";
    if (is_letter && same.find(letter) == std::string_view::npos) refuse(concat("\\", letter));
    copy(2);
  }

  // \x80 to \xff are bytes to Oniguruma, code points to PCRE2.
  void hexadecimal() {
    if (!looking_at("\\x{") && at_ + 2 < pattern_.size() && pattern_[at_ + 2] >= '8')
      refuse("a byte that is not ASCII");
    copy(2);
  }

  void bracket() {
    copy(1);
    if (looking_at("^")) copy(1);
    if (looking_at("]")) refuse("an empty class");
    while (at_ < pattern_.size() && pattern_[at_] != ']') {
      if (looking_at("[:")) {
        posix_class();
      } else if (pattern_[at_] == '[') {
        refuse("a class inside brackets");
      } else if (looking_at("&&")) {
        refuse("an intersection of classes");
      } else if (pattern_[at_] == '\\') {
        escape(true);
      } else {
        copy(1);
      }
    }
    if (at_ == pattern_.size()) refuse("brackets that are not closed");
    copy(1);
  }

  void posix_class() {
    constexpr std::pair<std::string_view, std::string_view> classes[] = {{"[:alpha:]", "\\p{Alphabetic}"},
                                                                         {"[:digit:]", "\\p{Nd}"},
                                                                         {"[:lower:]", "\\p{Lowercase}"},
                                                                         {"[:upper:]", "\\p{Uppercase}"},
                                                                         {"[:space:]", white_space}};
    for (const auto& [name, members] : classes) {
      if (!looking_at(name)) continue;
      out_ += members;
      at_ += name.size();
      return;
    }
    refuse("a class by name");
  }

  void group() {
    if (looking_at("(*")) refuse("(*");
    if (!looking_at("(?")) return copy(1);
    for (const std::string_view known : {"(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!", "(?#"}) {
      if (looking_at(known)) return copy(known.size());
    }
    if (looking_at("(?<")) return copy(3);
    copy(2);
    for (; at_ < pattern_.size() && pattern_[at_] != ':' && pattern_[at_] != ')'; ++at_) {
      const char flag = pattern_[at_];  // Ruby's m lets the dot match line ends, which PCRE2 calls s
      if (flag != 'i' && flag != 'm' && flag != '-') refuse(concat("(?", flag));
      out_ += flag == 'm' ? 's' : flag;
    }
  }

  // To Ruby {,n} begins at 0, and {n,m}+ is a repetition of repetitions.
  void braces() {
    const std::size_t end = pattern_.find('}', at_);
    const std::string_view inside =
        end == std::string_view::npos ? std::string_view() : pattern_.substr(at_ + 1, end - at_ - 1);
    const bool numbers = !inside.empty() && inside.find_first_not_of("0123456789,") == std::string_view::npos;
    if (!numbers) return copy(1);
    if (end + 1 < pattern_.size() && pattern_[end + 1] == '+') refuse("{}+");
    out_ += concat("{", inside.starts_with(',') ? "0" : "", inside, "}");
    at_ = end + 1;
  }

  std::string_view pattern_;
  const std::string& place_;
  std::size_t at_ = 0;
  std::string out_;
};

constexpr std::uint32_t match_limit = 1'000'000, depth_limit = 100'000;
constexpr std::size_t window = 256;  // starting positions tried between two looks at the clock
constexpr std::chrono::seconds patience{5};

}  // namespace

struct Regex::Program {
  pcre2_code* code = nullptr;
  pcre2_match_context* limits = nullptr;

  Program() = default;
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program() {
    pcre2_code_free(code);
    pcre2_match_context_free(limits);
  }
};

std::string to_pcre2(std::string_view pattern, const std::string& place) { return Translator(pattern, place).run(); }

Regex::Regex(std::string_view pattern, const std::string& place) : pattern_(pattern) {
  FOVEA_CHECK(pattern.size() <= 65536, place, "the regular expression has ", pattern.size(),
              " bytes, expected at most 65536");
  const std::string translated = to_pcre2(pattern, place);
  const auto program = std::make_shared<Program>();
  pcre2_compile_context* context = pcre2_compile_context_create(nullptr);
  pcre2_set_newline(context, PCRE2_NEWLINE_LF);
  pcre2_set_parens_nest_limit(context, 100);
  int error = 0;
  PCRE2_SIZE offset = 0;
  program->code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C | PCRE2_USE_OFFSET_LIMIT, &error,
                    &offset, context);
  pcre2_compile_context_free(context);
  if (program->code == nullptr) {
    char message[256] = "";
    pcre2_get_error_message(error, reinterpret_cast<PCRE2_UCHAR*>(message), sizeof message);
    fail(place, "the regular expression \"", pattern, "\" is malformed: ", message);
  }
  pcre2_jit_compile(program->code, PCRE2_JIT_COMPLETE);  // where it is not available the interpreter runs
  program->limits = pcre2_match_context_create(nullptr);
  pcre2_set_match_limit(program->limits, match_limit);
  pcre2_set_depth_limit(program->limits, depth_limit);
  program_ = program;
}

std::vector<Range> Regex::matches(std::string_view text) const {
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> data(
      pcre2_match_data_create_from_pattern(program_->code, nullptr), &pcre2_match_data_free);
  const std::unique_ptr<pcre2_match_context, decltype(&pcre2_match_context_free)> context(
      pcre2_match_context_copy(program_->limits), &pcre2_match_context_free);
  const auto start = std::chrono::steady_clock::now();
  const auto next_character = [&](std::size_t at) {
    return at + (at < text.size() ? code_point_at(text, at).bytes : 1);
  };
  std::vector<Range> found;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t limit = std::min(text.size(), at + window);
    pcre2_set_offset_limit(context.get(), limit);
    const auto search = [&](std::uint32_t options) {
      return pcre2_match(program_->code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), at,
                         options | PCRE2_NO_UTF_CHECK, data.get(), context.get());
    };
    int result = search(0);
    if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = search(PCRE2_NO_JIT);
    const bool in_time = std::chrono::steady_clock::now() - start < patience;
    if (result == PCRE2_ERROR_NOMATCH && in_time) {
      if (limit == text.size()) break;
      at = limit + 1;
      while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) ++at;  // inside a character
      continue;
    }
    FOVEA_CHECK(result > 0 && in_time, "[tokenizer] the regular expression \"", pattern_, "\" takes too long on ",
                text.size(), " bytes of text");
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(data.get());
    const Range match{bounds[0], std::max(bounds[0], bounds[1])};
    if (match.begin == match.end && !found.empty() && match.end == found.back().end) {
      at = next_character(at);
      continue;
    }
    found.push_back(match);
    at = match.end;
  }
  return found;
}

}  // namespace fovea::text::detail
