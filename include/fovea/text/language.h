// Which language a caption is in, by its letters and its small words.
#pragma once

#include <string_view>

#include "fovea/core/export.h"

namespace fovea::text {

// The ISO 639-1 code of one of en de es fr it pt nl pl sv ru uk hi zh ja ko th vi, or "und" where nothing tells:
// - scripts of one of these languages decide by themselves (Hangul, kana, Thai, Devanagari; Han without kana is zh);
// - otherwise every small word ("the", "und", "из") and every letter that few of the languages use ("ß", "ł", "ї")
//   counts for its languages, and the one with most wins unless another has as much.
// It knows no others: Danish passes for Swedish, Bulgarian for Russian, Marathi for Hindi. Short names ("red car") hold
// no evidence and are "und".
FOVEA_API std::string_view language_of(std::string_view caption);

}  // namespace fovea::text
