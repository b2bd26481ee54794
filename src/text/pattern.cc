#include "text/pattern.h"

#include <utility>

#include "fovea/core/error.h"
#include "text/unicode.h"

namespace fovea::text::detail {

Pattern Pattern::of_string(std::string text) {
  Pattern pattern;
  pattern.text_ = std::move(text);
  return pattern;
}

Pattern Pattern::of_regex(std::string text, const std::string& place) {
  Pattern pattern;
  pattern.regex_.emplace(text, place);
  pattern.text_ = std::move(text);
  return pattern;
}

std::vector<Range> Pattern::matches(std::string_view text) const {
  if (regex_) return regex_->matches(text);
  std::vector<Range> found;
  if (text_.empty()) {  // matches between all characters, as the regular expression would
    for (std::size_t at = 0; at < text.size(); at += code_point_at(text, at).bytes) found.push_back({at, at});
    found.push_back({text.size(), text.size()});
    return found;
  }
  for (std::size_t at = text.find(text_); at != std::string_view::npos; at = text.find(text_, at + text_.size())) {
    found.push_back({at, at + text_.size()});
  }
  return found;
}

std::string Pattern::replace(std::string_view text, std::string_view content) const {
  std::string out;
  std::size_t done = 0;
  for (const Range match : matches(text)) {
    out += text.substr(done, match.begin - done);
    out += content;
    done = match.end;
    check_growth(out.size(), text.size());
  }
  out += text.substr(done);
  return out;
}

void check_growth(std::size_t size, std::size_t original) {
  constexpr std::size_t factor = 64, allowance = std::size_t{1} << 20;
  FOVEA_CHECK(size <= factor * original + allowance, "[tokenizer] ", original, " bytes of text grow to ", size,
              " while they are normalized or decoded");
}

}  // namespace fovea::text::detail
