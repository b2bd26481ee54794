// The words of a caption.
#pragma once

#include <string_view>
#include <vector>

#include "fovea/core/export.h"

namespace fovea::text {

// Cuts text that went through clean() into CLIP's words, which are all that its tokenizer keeps: a contraction
// ('s 't 're 've 'm 'll 'd), a run of letters, one digit, or a run of anything else but white space. Equals the pattern
// 's|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+ of openai/CLIP's clip/simple_tokenizer.py.
// The views point into `cleaned`.
FOVEA_API std::vector<std::string_view> split_words(std::string_view cleaned);

}  // namespace fovea::text
