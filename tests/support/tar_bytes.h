// Tar archives written byte by byte, right and wrong ones, and the simplest compressed files.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

namespace fovea::tests {

struct TarEntry {
  std::string name, contents;
  char type = '0';
  std::string magic = std::string("ustar\00000", 8);  // GNU: "ustar  \0"; before POSIX: zeros
  std::string size_field = "";                        // in place of the size in octal
  std::string prefix = "";                            // ustar's, which stands before the name
  std::string link = "";
};

// Header, contents and padding.
inline std::string tar_entry(const TarEntry& entry) {
  std::string header(512, '\0');
  const auto put = [&](std::size_t at, std::string_view text) {
    for (std::size_t i = 0; i < text.size(); ++i) header[at + i] = text[i];
  };
  char size[24];
  std::snprintf(size, sizeof size, "%011zo", entry.contents.size());
  put(0, entry.name);
  put(100, "0000644");
  put(108, "0000000");
  put(116, "0000000");
  put(124, entry.size_field.empty() ? std::string_view(size) : std::string_view(entry.size_field));
  put(136, "00000000000");
  header[156] = entry.type;
  put(157, entry.link);
  put(257, entry.magic);
  put(345, entry.prefix);
  put(148, "        ");
  unsigned sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  char checksum[16];
  std::snprintf(checksum, sizeof checksum, "%06o", sum);
  put(148, std::string(checksum) + '\0');
  return header + entry.contents + std::string((512 - entry.contents.size() % 512) % 512, '\0');
}

inline const std::string gnu_magic("ustar  \0", 8), old_magic(8, '\0'), tar_end(1024, '\0');

// One record of a PAX header: its length counts its own digits.
inline std::string pax_record(const std::string& key, const std::string& value) {
  const std::string rest = " " + key + "=" + value + "\n";
  std::size_t length = rest.size() + 1;
  while (std::to_string(length).size() + rest.size() != length) ++length;
  return std::to_string(length) + rest;
}

inline std::string pax_header(const std::string& records) { return tar_entry({"PaxHeaders/x", records, 'x'}); }
inline std::string gnu_long_name(const std::string& name) {
  return tar_entry({"././@LongLink", name + '\0', 'L', gnu_magic});
}

inline std::string little_endian(std::uint64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i));
  return text;
}

// A gzip file of blocks that are stored as they are (RFC 1951, 1952).
inline std::string gzip_stored(const std::string& bytes) {
  std::string out("\x1f\x8b\x08\0\0\0\0\0\0\xff", 10);
  constexpr std::size_t most = 60000;
  for (std::size_t at = 0; at < bytes.size(); at += most) {
    const std::string part = bytes.substr(at, most);
    out += static_cast<char>(at + most >= bytes.size());
    out += little_endian(part.size(), 2) + little_endian(~part.size(), 2) + part;
  }
  std::uint32_t crc = ~std::uint32_t{0};
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
  }
  return out + little_endian(~crc, 4) + little_endian(bytes.size(), 4);
}

// A zstd file of raw blocks (RFC 8878).
inline std::string zstd_raw(const std::string& bytes) {
  std::string out = little_endian(0xFD2FB528u, 4) + '\xA0' + little_endian(bytes.size(), 4);
  constexpr std::size_t most = 100000;
  for (std::size_t at = 0; at < bytes.size(); at += most) {
    const std::string part = bytes.substr(at, most);
    out += little_endian(part.size() << 3 | (at + most >= bytes.size()), 3) + part;
  }
  return out;
}

}  // namespace fovea::tests
