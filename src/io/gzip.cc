#include "fovea/io/gzip.h"

#include <climits>
#include <cstdint>

#include "fovea/core/error.h"

// The inflater inside stb_image, which is there for PNG.
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_NO_STDIO
#define STBI_ONLY_PNG
#define STBI_ASSERT(condition) ((void)0)  // damage shows in the checksum
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wextra"
#include <stb/stb_image.h>
#pragma GCC diagnostic pop

namespace fovea::io {
namespace {

std::uint8_t byte_at(std::string_view bytes, std::size_t i) { return static_cast<std::uint8_t>(bytes[i]); }

std::uint32_t little_endian(std::string_view bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 4; i-- > 0;) value = value << 8 | byte_at(bytes, at + i);
  return value;
}

std::uint32_t crc32(std::string_view bytes) {
  std::uint32_t crc = ~0u;
  for (const char c : bytes) {
    crc ^= static_cast<std::uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0u);
  }
  return ~crc;
}

constexpr std::size_t fixed_header = 10, trailer = 8;

// Where the compressed data begins.
std::size_t header_bytes(std::string_view bytes, const std::string& name) {
  constexpr int deflate = 8;
  enum Flags { has_crc = 2, has_extra = 4, has_name = 8, has_comment = 16, reserved = 0xE0 };
  FOVEA_CHECK(bytes.size() >= fixed_header + trailer && byte_at(bytes, 0) == 0x1F && byte_at(bytes, 1) == 0x8B,
              "[gzip] ", name, " is not a gzip file");
  const int flags = byte_at(bytes, 3);
  FOVEA_CHECK(byte_at(bytes, 2) == deflate && (flags & reserved) == 0, "[gzip] ", name,
              " at byte 2: unknown kind of compression");
  std::size_t at = fixed_header;
  if (flags & has_extra) {
    at += 2;
    if (at <= bytes.size()) at += byte_at(bytes, at - 2) + std::size_t{256} * byte_at(bytes, at - 1);
  }
  for (const int text : {has_name, has_comment}) {
    if (flags & text) at = std::min(bytes.find('\0', std::min(at, bytes.size())), bytes.size()) + 1;
  }
  if (flags & has_crc) at += 2;
  FOVEA_CHECK(at + trailer <= bytes.size(), "[gzip] ", name, " ends within its header");
  return at;
}

}  // namespace

std::string gunzip(std::string_view bytes, const std::string& name, std::size_t max_bytes) {
  const std::size_t begin = header_bytes(bytes, name), end = bytes.size() - trailer;
  const std::size_t size = little_endian(bytes, end + 4);  // modulo 2^32
  FOVEA_CHECK(bytes.size() <= INT_MAX && size <= INT_MAX && size <= max_bytes, "[gzip] ", name, " holds ", size,
              " bytes, at most ", std::min<std::size_t>(max_bytes, INT_MAX), " are read");
  constexpr std::size_t best_ratio = 1032;  // of deflate: a size beyond it is a lie
  FOVEA_CHECK(size / best_ratio <= end - begin, "[gzip] ", name, " at byte ", end + 4, ": ", size,
              " bytes cannot come from ", end - begin, " compressed ones");
  std::string out(size, '\0');
  // With the trailer: the inflater looks some bytes ahead.
  const int written = stbi_zlib_decode_noheader_buffer(out.data(), static_cast<int>(size), bytes.data() + begin,
                                                       static_cast<int>(bytes.size() - begin));
  FOVEA_CHECK(written >= 0 && static_cast<std::size_t>(written) == size && crc32(out) == little_endian(bytes, end),
              "[gzip] ", name, " is damaged");
  return out;
}

}  // namespace fovea::io
