// gzip files that Python's gzip and zlib made, whole and damaged.
#include "fovea/io/gzip.h"

#include <gtest/gtest.h>

#include "../support/error_of.h"

namespace fovea::io {
namespace {

using tests::error_of;

template <std::size_t n>
std::string text(const unsigned char (&bytes)[n]) {
  return {reinterpret_cast<const char*>(bytes), n};
}

// A header without options, deflated text, checksum and size.
constexpr unsigned char plain[]{0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0xff, 0x2b, 0xc9, 0x57, 0x48,
                                0x4a, 0x55, 0xc8, 0x2f, 0x52, 0xc8, 0xcb, 0x2f, 0x51, 0x28, 0x01, 0x71, 0x74, 0x14,
                                0x4a, 0x32, 0x12, 0x4b, 0x14, 0x32, 0x8b, 0x81, 0x74, 0xaa, 0x42, 0x61, 0x69, 0x6a,
                                0x71, 0x49, 0x66, 0x7e, 0x9e, 0x15, 0x44, 0x12, 0x45, 0x25, 0x57, 0xc9, 0x80, 0x69,
                                0x06, 0x00, 0xc1, 0x11, 0x5c, 0x85, 0xb7, 0x00, 0x00, 0x00};
// A header with every option: three more bytes, a name, a comment, a checksum of the header.
constexpr unsigned char options[]{0x1f, 0x8b, 0x08, 0x1e, 0x00, 0x00, 0x00, 0x00, 0x02, 0xff, 0x03, 0x00,
                                  0x61, 0x62, 0x63, 0x6e, 0x61, 0x6d, 0x65, 0x2e, 0x74, 0x78, 0x74, 0x00,
                                  0x61, 0x20, 0x63, 0x6f, 0x6d, 0x6d, 0x65, 0x6e, 0x74, 0x00, 0x7a, 0x7a};
constexpr std::size_t plain_header = 10;
const std::string line = "to be or not to be, that is the question: to be or not to be\n";

TEST(Gzip, GivesWhatWasCompressed) {
  EXPECT_EQ(gunzip(text(plain), "a.gz"), line + line + line);
  EXPECT_EQ(gunzip(text(options) + text(plain).substr(plain_header), "a.gz"), line + line + line);
}

TEST(Gzip, RefusesDamage) {
  const std::string whole = text(options) + text(plain).substr(plain_header);
  for (std::size_t kept = 0; kept < whole.size(); ++kept)
    EXPECT_EQ(error_of([&] { gunzip(whole.substr(0, kept), "a.gz"); }).substr(0, 11), "[gzip] a.gz") << kept;
  int harmless = 0;  // time, extra bytes, name, comment
  for (std::size_t i = 0; i < whole.size(); ++i) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x11);
    try {
      EXPECT_EQ(gunzip(damaged, "a.gz"), line + line + line);
      ++harmless;
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()).substr(0, 11), "[gzip] a.gz");
    }
  }
  EXPECT_LT(harmless, 40);
}

TEST(Gzip, KeepsToTheLimit) {
  EXPECT_EQ(error_of([] { gunzip(text(plain), "a.gz", 182); }), "[gzip] a.gz holds 183 bytes, at most 182 are read");
  std::string lying = text(plain);
  lying[lying.size() - 2] = 0x10;  // 1 MB
  EXPECT_NE(error_of([&] { gunzip(lying, "a.gz"); }).find("1048759 bytes cannot come from 48"), std::string::npos);
}

}  // namespace
}  // namespace fovea::io
