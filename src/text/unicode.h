// Code points of UTF-8 text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace fovea::text::detail {

struct CodePoint {
  std::int32_t value;  // U+FFFD where the bytes are ill-formed
  std::size_t bytes;   // how many bytes it took; of an ill-formed sequence, its maximal part
};

// The code point at `position`, which must lie inside `text`.
CodePoint code_point_at(std::string_view text, std::size_t position);

void append_utf8(std::string& out, std::int32_t code_point);

bool is_ascii(std::string_view text);
bool is_letter(std::int32_t code_point);       // \p{L}
bool is_number(std::int32_t code_point);       // \p{N}
bool is_white_space(std::int32_t code_point);  // \s: the White_Space property

}  // namespace fovea::text::detail
