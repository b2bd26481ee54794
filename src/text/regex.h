// Regular expressions of tokenizer files, which are written for Oniguruma (Ruby's syntax, UTF-8) and run by PCRE2.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::text::detail {

struct Range {
  std::size_t begin, end;
};

class Regex {
 public:
  // Compiles the pattern; what the two syntaxes mean differently is rewritten. Throws Error opening with `place` for
  // what is malformed or cannot be rewritten.
  Regex(std::string_view pattern, const std::string& place);

  // Matches from left to right in well-formed UTF-8; an empty one is skipped where the last match ended. Throws Error
  // when the search costs too much: some patterns take longer than the age of the universe.
  std::vector<Range> matches(std::string_view text) const;

 private:
  struct Program;

  std::string pattern_;
  std::shared_ptr<const Program> program_;  // never changed, so that copies and threads share it
};

// The same pattern in PCRE2's syntax.
std::string to_pcre2(std::string_view pattern, const std::string& place);

}  // namespace fovea::text::detail
