#include "text/pattern.h"

#include <utility>

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
  if (text_.empty()) return found;
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
  }
  out += text.substr(done);
  return out;
}

}  // namespace fovea::text::detail
