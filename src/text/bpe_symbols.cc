#include "text/bpe_symbols.h"

#include <array>

#include "text/unicode.h"

namespace fovea::text::detail {
namespace {

// The byte that a character spells, by code point; -1 where it spells none.
constexpr std::size_t spelling_count = 512;
constexpr std::array<std::int16_t, spelling_count> make_bytes() {
  std::array<std::int16_t, spelling_count> bytes{};
  bytes.fill(-1);
  for (std::size_t byte = 0; byte < 256; ++byte) {
    bytes[static_cast<std::size_t>(byte_symbols.code_point[byte])] = static_cast<std::int16_t>(byte);
  }
  return bytes;
}
constexpr std::array<std::int16_t, spelling_count> byte_of = make_bytes();

}  // namespace

void append_spelled(std::string& out, std::string_view bytes) {
  for (const char byte : bytes) {
    const auto value = static_cast<std::uint32_t>(byte_symbols.code_point[static_cast<unsigned char>(byte)]);
    if (value < 0x80) {
      out += static_cast<char>(value);
    } else {  // all are below 0x800: two bytes
      out += static_cast<char>(0xC0 | (value >> 6));
      out += static_cast<char>(0x80 | (value & 0x3F));
    }
  }
}

std::string spell(std::string_view bytes) {
  std::string spelled;
  append_spelled(spelled, bytes);
  return spelled;
}

std::optional<std::string> unspell(std::string_view spelled) {
  std::string bytes;
  for (std::size_t at = 0; at < spelled.size();) {
    const auto point = code_point_at(spelled, at);
    const auto value = static_cast<std::size_t>(point.value);
    if (value >= spelling_count || byte_of[value] < 0) return std::nullopt;
    bytes += static_cast<char>(byte_of[value]);
    at += point.bytes;
  }
  return bytes;
}

}  // namespace fovea::text::detail
