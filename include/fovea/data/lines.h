// Text files with one entry a line.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "fovea/core/export.h"

namespace fovea::data {

// The lines of a text that are not blank, without white space around them. A byte-order mark at the start is dropped.
FOVEA_API std::vector<std::string> text_lines(std::string_view text);

// The same of a file. Throws Error when it cannot be read or has no such line.
FOVEA_API std::vector<std::string> read_lines(const std::string& path);

}  // namespace fovea::data
