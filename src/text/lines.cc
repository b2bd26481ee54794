#include "text/lines.h"

#include <algorithm>

#include "fovea/core/error.h"
#include "fovea/text/clean.h"

namespace fovea::text::detail {

std::string_view take_line(std::string_view& rest) {
  std::string_view line = rest.substr(0, rest.find('\n'));
  rest.remove_prefix(std::min(rest.size(), line.size() + 1));
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

bool is_well_formed(std::string_view text) { return replace_invalid_utf8(text) == text; }

std::vector<MergeLine> read_merge_lines(std::string_view contents, const std::string& source) {
  FOVEA_CHECK(!contents.starts_with("\x1f\x8b"), "[tokenizer] ", source, " is compressed, expected plain text",
              "\nhint: decompress it with gunzip");
  std::vector<MergeLine> lines;
  for (std::int64_t number = 1; !contents.empty(); ++number) {
    const std::string_view line = take_line(contents);
    if ((number == 1 && line.starts_with('#')) || (line.empty() && contents.empty())) continue;
    const std::size_t space = line.find(' ');
    const bool two = space != std::string_view::npos && space > 0 && space + 1 < line.size() &&
                     line.find(' ', space + 1) == std::string_view::npos;
    FOVEA_CHECK(two && is_well_formed(line), "[tokenizer] ", source, ":", number, ": found \"",
                replace_invalid_utf8(line.substr(0, 100)), "\", expected two pieces, separated by a space");
    lines.push_back({line.substr(0, space), line.substr(space + 1), number});
  }
  return lines;
}

}  // namespace fovea::text::detail
