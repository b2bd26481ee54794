// CLIP's cleaning of captions, and the steps it is made of. Text is UTF-8 everywhere; ill-formed bytes are never an
// error.
#pragma once

#include <string>
#include <string_view>

#include "fovea/core/export.h"

namespace fovea::text {

// What CLIP's tokenizer reads: ill-formed bytes replaced, NFC, HTML unescaped twice (captions from the web are often
// escaped twice), white space collapsed, lower-cased. This is openai/CLIP's clip/simple_tokenizer.py (basic_clean,
// whitespace_clean, lower) without ftfy: of its repairs only NFC is made, which is what Hugging Face's CLIP tokenizer
// does too; mis-decoded text ("Ã©"), curly quotes and full-width letters stay as they are.
FOVEA_API std::string clean(std::string_view text);

// What open_clip's tokenizer reads (open_clip/tokenizer.py, clean "lower"): clean() with what ftfy.fix_text does beside
// repairing encodings. Curly quotes become straight ones, Latin ligatures, full-width and half-width forms ordinary
// letters, C1 controls the characters of Windows-1252; terminal escapes and control characters are dropped; references
// of HTML are first replaced line by line, where no "<" stands. Lower-cased as Python does, final sigma included.
// Equals open_clip's cleaning of text in which ftfy finds no mis-decoded characters.
FOVEA_API std::string clean_like_open_clip(std::string_view text);

// Replaces each maximal ill-formed part by U+FFFD (The Unicode Standard, table 3-8; Python's errors="replace").
FOVEA_API std::string replace_invalid_utf8(std::string_view text);

// Unicode's normalisation forms: canonical or compatibility (k) decomposition, then composition (c) or not (d).
enum class NormalForm { c, d, kc, kd };
FOVEA_API std::string normal_form(std::string_view text, NormalForm form);

// Replaces the character references of HTML 5 (&amp; &#233; &#xe9; and, as browsers do, &eacute without its semicolon);
// equals Python's html.unescape. What is no reference stays as it is.
FOVEA_API std::string unescape_html(std::string_view text);

// Replaces every run of Unicode white space by one space, and drops it at both ends.
FOVEA_API std::string collapse_white_space(std::string_view text);

// Lower-cases character by character (Unicode's full mapping, without the rule for a final sigma), as Hugging Face's
// does.
FOVEA_API std::string lower_case(std::string_view text);
// The same, and a sigma that ends a word becomes ς, as Python's str.lower has it.
FOVEA_API std::string lower_case_with_final_sigma(std::string_view text);

// What SigLIP's tokenizers read (Hugging Face's SiglipTokenizer): Python's lower case, ASCII punctuation dropped, white
// space collapsed. Ill-formed bytes are replaced first.
FOVEA_API std::string canonicalize(std::string_view text);

}  // namespace fovea::text
