// OpenAI's file of merges: a header line, then one merge per line, in the order in which they were learned.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "fovea/text/tokenizer.h"

namespace fovea::text::detail {

// As many merges as a vocabulary of `vocabulary_size` entries has. Throws Error naming `source` and the line.
std::vector<BpeMerge> parse_merges(std::string_view contents, std::int64_t vocabulary_size, const std::string& source);

}  // namespace fovea::text::detail
