// Captions as the words that a collection of them is counted by.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "fovea/core/export.h"

namespace fovea::text {

// Appends the words of a caption to `out`, one space between two of them, and returns how many there are. The caption
// is cleaned (clean.h: NFC, HTML unescaped, lower case) and cut at white space. What is no letter, digit or mark is
// dropped at both ends of a word, and a word of nothing else altogether: "A red-roofed House, 1920x1080!" becomes
// "a red-roofed house 1920x1080". Chinese characters and Japanese kana, which are written without spaces, are words of
// their own; Thai, Lao, Khmer and Burmese, where only a dictionary could tell, stay in one piece up to the next space.
FOVEA_API std::int64_t append_caption_words(std::string_view caption, std::string& out);

}  // namespace fovea::text
