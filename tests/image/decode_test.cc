#include "fovea/image/decode.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "fovea/core/rng.h"
#include "fovea/image/resize.h"
#include "golden_lines.h"

namespace fovea::image {
namespace {

std::vector<std::uint8_t> file_bytes(const std::string& name) {
  std::ifstream in(golden_folder + "images/" + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

bool has_libjpeg() { return can_be_reduced(file_bytes("gray.jpg")); }

TEST(Decode, EqualsPillow) {
  const auto lines = golden_lines("decode");
  EXPECT_GE(lines.size(), 12u);
  for (const GoldenLine& line : lines) {
    // JPEG leaves the inverse transform's rounding and the chroma filter's to the decoder; Pillow's is libjpeg-turbo.
    const bool exact = line.file.ends_with(".png") || has_libjpeg();
    // stb_image gives the last column the colour of the one before it where chroma is halved sideways alone.
    const int width = line.expected.width - (!exact && line.file == "photo_422.jpg");
    const auto left_part = [&](const Image& image) { return crop(image, 0, 0, width, image.height); };
    EXPECT_LE(max_difference(left_part(golden_image(line.file)), left_part(line.expected)), exact ? 0 : 4) << line.file;
  }
}

TEST(Decode, ReducedEqualsPillowsDraftMode) {
  if (!has_libjpeg()) GTEST_SKIP() << "this build has no libjpeg-turbo";
  const auto lines = golden_lines("reduced");
  EXPECT_EQ(lines.size(), 15u);
  for (const GoldenLine& line : lines) {
    const int reduction = std::stoi(line.arguments[0]);
    const Image image = read_image(golden_folder + "images/" + line.file, {.reduction = reduction});
    EXPECT_EQ(max_difference(image, line.expected), 0) << line.file << " " << reduction;
  }
}

TEST(Decode, OtherPicturesAreNotReduced) {
  EXPECT_FALSE(can_be_reduced(file_bytes("rgb.png")));
  EXPECT_FALSE(can_be_reduced({}));
  EXPECT_EQ(read_image(golden_folder + "images/rgb.png", {.reduction = 4}), golden_image("rgb.png"));
  EXPECT_NE(error_of([] { read_image(golden_folder + "images/gray.jpg", {.reduction = 3}); }), "");
}

TEST(Decode, KnowsTheSizeFromTheHeader) {
  for (const char* name : {"rgb.png", "huge.png", "photo_420.jpg", "photo_cmyk.jpg", "photo_progressive.jpg"}) {
    const std::vector<std::uint8_t> bytes = file_bytes(name);
    const Size size = picture_size(bytes, name);
    if (std::string(name) == "huge.png") {
      EXPECT_EQ(size, (Size{20000, 10000}));
    } else {
      const Image image = decode(bytes, name);
      EXPECT_EQ(size, (Size{image.width, image.height})) << name;
    }
  }
  EXPECT_NE(error_of([] { picture_size({}, "a.png"); }).find("is empty"), std::string::npos);
}

TEST(Decode, LaysOnWhiteAsPillowDoes) {
  const auto lines = golden_lines("on_white");
  EXPECT_EQ(lines.size(), 4u);
  for (const GoldenLine& line : lines) {
    const Image image = read_image(golden_folder + "images/" + line.file, {.alpha = Alpha::white});
    EXPECT_EQ(max_difference(image, line.expected), 0) << line.file;
  }
}

TEST(Decode, RefusesHugePicturesFromTheHeader) {
  const std::string error = error_of([] { golden_image("huge.png"); });
  EXPECT_NE(error.find("huge.png is 20000x10000 pixels, the limit is 67108864"), std::string::npos) << error;
  EXPECT_NE(error_of([] { decode(file_bytes("rgb.png"), "small", {.max_pixels = 13 * 9 - 1}); }), "");
  EXPECT_EQ(error_of([] { decode(file_bytes("rgb.png"), "small", {.max_pixels = 13 * 9}); }), "");
}

TEST(Decode, NamesTheFileAndTheReason) {
  EXPECT_EQ(error_of([] { read_image("no/such.png"); }), "[file] cannot open no/such.png: No such file or directory");
  EXPECT_EQ(error_of([] { decode({}, "a.png"); }), "[image] a.png is empty, expected a PNG or JPEG picture");
  const std::vector<std::uint8_t> text{'h', 'e', 'l', 'l', 'o'};
  EXPECT_TRUE(error_of([&] { decode(text, "a.png"); }).starts_with("[image] a.png: expected a PNG or JPEG picture: "));
  EXPECT_NE(error_of([] { read_image(golden_folder); }).find("directory"), std::string::npos);
}

TEST(Decode, RefusesTruncatedFiles) {
  for (const char* name : {"rgb.png", "palette.png", "full_chroma.jpg", "progressive.jpg", "photo_cmyk.jpg"}) {
    const std::vector<std::uint8_t> bytes = file_bytes(name);
    // The last chunk of a PNG and the last marker of a JPEG carry no pixels.
    for (std::size_t size = 0; size + 12 < bytes.size(); size += 3) {
      EXPECT_NE(error_of([&] { decode(std::span(bytes).first(size), name); }), "") << name << " cut to " << size;
    }
  }
}

// Files of the fuzzer's corpus: a few bytes that ask for a lot of memory.
TEST(Decode, RefusesToUnpackMoreThanItsPixels) {
  for (const char* name : {"chunk_of_2_gb.png", "unpacks_to_16_mb.png"}) {
    const std::string path = std::string(FOVEA_SOURCE_DIR "/tests/fuzz/corpus/image/") + name;
    EXPECT_NE(error_of([&] { read_image(path); }).find("or announces more bytes than it has"), std::string::npos)
        << name;
  }
}

TEST(Decode, SurvivesDamage) {
  Rng rng(3);
  int refused = 0;
  for (const char* name : {"rgb.png", "palette_transparent.png", "gray16.png", "half_chroma.jpg", "progressive.jpg"}) {
    const std::vector<std::uint8_t> good = file_bytes(name);
    for (int i = 0; i < 400; ++i) {
      std::vector<std::uint8_t> bytes = good;
      for (int changes = 0; changes < 3; ++changes) {
        bytes[static_cast<std::size_t>(rng.below(static_cast<std::int64_t>(bytes.size())))] =
            static_cast<std::uint8_t>(rng.bits());
      }
      refused += !error_of([&] { decode(bytes, name, {.max_pixels = 1 << 16}); }).empty();
    }
  }
  EXPECT_GT(refused, 200);
}

TEST(Decode, RefusesHuffmanTablesThatAreTooLong) {
  std::vector<std::uint8_t> bytes = file_bytes("half_chroma.jpg");
  int tables = 0;
  for (std::size_t i = 0; i + 6 < bytes.size(); ++i) {
    if (bytes[i] != 0xFF || bytes[i + 1] != 0xC4) continue;
    ++tables;
    std::vector<std::uint8_t> damaged = bytes;
    damaged[i + 5] = damaged[i + 6] = 255;  // symbols of one and of two bits
    EXPECT_NE(error_of([&] { decode(damaged, "picture", {.max_pixels = 1 << 16}); }).find("Huffman"),
              std::string::npos);
    damaged.resize(i + 7);  // the file ends inside the table
    EXPECT_NE(error_of([&] { decode(damaged, "picture", {.max_pixels = 1 << 16}); }), "");
  }
  EXPECT_GT(tables, 0);
}

}  // namespace
}  // namespace fovea::image
