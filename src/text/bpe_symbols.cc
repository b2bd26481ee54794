#include "text/bpe_symbols.h"

#include <algorithm>

#include "text/unicode.h"

namespace fovea::text::detail {

std::string spell(std::string_view bytes) {
  std::string spelled;
  for (const char byte : bytes) append_utf8(spelled, byte_symbols.code_point[static_cast<unsigned char>(byte)]);
  return spelled;
}

std::optional<std::string> unspell(std::string_view spelled) {
  std::string bytes;
  for (std::size_t at = 0; at < spelled.size();) {
    const auto point = code_point_at(spelled, at);
    const auto found = std::ranges::find(byte_symbols.code_point, point.value);
    if (found == byte_symbols.code_point.end()) return std::nullopt;
    bytes += static_cast<char>(found - byte_symbols.code_point.begin());
    at += point.bytes;
  }
  return bytes;
}

}  // namespace fovea::text::detail
