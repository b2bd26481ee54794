// The repairs of ftfy.fix_text (ftfy 6) that do not concern mis-decoded text.
#pragma once

#include <string>
#include <string_view>

namespace fovea::text::detail {

// Line by line, until nothing changes. Takes and gives well-formed UTF-8.
std::string fix_text(std::string_view text);

}  // namespace fovea::text::detail
