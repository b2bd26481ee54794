// Whole files, for the tokenizer's.
#pragma once

#include <string>
#include <string_view>

namespace fovea::text::detail {

// Both throw Error naming the file and the system's reason.
std::string read_file(const std::string& path);
void write_file(const std::string& path, std::string_view contents);

}  // namespace fovea::text::detail
