#include "fovea/data/lines.h"

#include <algorithm>

#include "fovea/core/error.h"
#include "fovea/io/file.h"

namespace fovea::data {

std::vector<std::string> text_lines(std::string_view text) {
  constexpr std::string_view blanks = " \t\r";
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  std::vector<std::string> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    if (const std::size_t first = line.find_first_not_of(blanks); first != std::string_view::npos)
      lines.emplace_back(line.substr(first, line.find_last_not_of(blanks) - first + 1));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

std::vector<std::string> read_lines(const std::string& path) {
  std::vector<std::string> lines = text_lines(io::read_file(path));
  FOVEA_CHECK(!lines.empty(), "[lines] ", path, " is empty, expected one entry a line");
  return lines;
}

}  // namespace fovea::data
