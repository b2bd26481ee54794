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
//
// open_clip compiles the pattern so that case does not matter. In lower-cased text that shows in two places: a
// contraction may be written with the long s ("'ſ"), and U+0345, a mark whose upper case is a letter, is left out.
enum class Case { matters, ignored };
FOVEA_API std::vector<std::string_view> split_words(std::string_view cleaned, Case letter_case = Case::matters);

// Cuts text into GPT-2's words, which keep the space before them and leave nothing out. Equals the pattern
// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ of openai/gpt-2's src/encoder.py.
FOVEA_API std::vector<std::string_view> split_gpt2_words(std::string_view text);

}  // namespace fovea::text
