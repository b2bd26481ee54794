// The 256 symbols that byte-level BPE starts from, one per byte, and how files spell them: as visible characters (the
// function bytes_to_unicode of openai/CLIP's clip/simple_tokenizer.py, taken from GPT-2).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace fovea::text::detail {

constexpr std::int32_t byte_symbol_count = 256;
constexpr std::int32_t first_merge_id = 2 * byte_symbol_count;    // after the bytes inside and at the end of a word
constexpr std::int32_t smallest_vocabulary = first_merge_id + 2;  // no merges, start and end
constexpr std::string_view end_of_word = "</w>";

struct ByteSymbols {
  std::array<std::int32_t, 256> id;          // by byte: its place in CLIP's vocabulary, visible bytes first
  std::array<std::int32_t, 256> code_point;  // by byte: the character that spells it
};

constexpr ByteSymbols make_byte_symbols() {
  ByteSymbols symbols{};
  std::int32_t next_visible = 0, next_hidden = 0;
  constexpr std::int32_t visible_count = 188;
  for (std::size_t byte = 0; byte < 256; ++byte) {
    const bool visible = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    symbols.id[byte] = visible ? next_visible++ : visible_count + next_hidden;
    symbols.code_point[byte] = visible ? static_cast<std::int32_t>(byte) : byte_symbol_count + next_hidden++;
  }
  return symbols;
}

constexpr ByteSymbols byte_symbols = make_byte_symbols();

// A pair of ids as one number, in the order of the left id, then the right one.
constexpr std::uint64_t pair_key(std::int32_t left, std::int32_t right) {
  return (static_cast<std::uint64_t>(left) << 32) | static_cast<std::uint32_t>(right);
}

// Bytes of text, as a file spells them.
std::string spell(std::string_view bytes);
void append_spelled(std::string& out, std::string_view bytes);
// The reverse; none when a character spells no byte.
std::optional<std::string> unspell(std::string_view spelled);

}  // namespace fovea::text::detail
