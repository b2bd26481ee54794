// Lines of vocabulary files.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::text::detail {

// The next line of `rest`, without its end; `rest` keeps what follows.
std::string_view take_line(std::string_view& rest);

bool is_well_formed(std::string_view text);  // UTF-8

// A line of GPT-2's merges.txt.
struct MergeLine {
  std::string_view left, right;
  std::int64_t number;
};

// All merges, after a header that begins with "#" and may be missing. Throws Error naming `source` and the line.
std::vector<MergeLine> read_merge_lines(std::string_view contents, const std::string& source);

}  // namespace fovea::text::detail
