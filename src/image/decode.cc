#include "fovea/image/decode.h"

#include <climits>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <system_error>

#include "fovea/core/error.h"
#include "fovea/io/file.h"
#include "fovea/io/tar.h"
#include "image/jpeg.h"

namespace {

// Set by stb_image where its own checks fail, which damaged files bring about.
thread_local bool check_failed = false;

// No block that stb_image asks for may be larger: a few bytes can announce a chunk of 2 GB, or unpack to that much.
thread_local std::size_t block_limit = 0;
thread_local bool limit_met = false;

// New blocks are zeroed: stb_image 2.27 decodes with Huffman tables that a damaged file never defined. Zeros are a
// table that ends every search; what lies about in memory sends it past the end of an array, and into the picture.
void* limited_realloc(void* block, std::size_t bytes) {
  if (bytes <= block_limit) return block ? std::realloc(block, bytes) : std::calloc(bytes, 1);
  limit_met = true;
  return nullptr;
}

}  // namespace

#define STB_IMAGE_IMPLEMENTATION
#define STBI_ASSERT(condition) ((condition) ? void() : void(check_failed = true))
#define STBI_MALLOC(bytes) limited_realloc(nullptr, bytes)
#define STBI_REALLOC(block, bytes) limited_realloc(block, bytes)
#define STBI_FREE(block) std::free(block)
#define STB_IMAGE_STATIC
#define STBI_NO_STDIO
#define STBI_ONLY_PNG
#if !FOVEA_HAS_LIBJPEG
#define STBI_ONLY_JPEG
#endif
#define STBI_FAILURE_USERMSG
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wextra"
#include <stb/stb_image.h>
#pragma GCC diagnostic pop

namespace fovea::image {
namespace {

struct FreePixels {
  void operator()(stbi_uc* pixels) const { stbi_image_free(pixels); }
};

// RGBA, 4 bytes a pixel, on a white ground.
void lay_on_white(const std::uint8_t* rgba, Pixels& rgb) {
  for (std::size_t pixel = 0; pixel < rgb.size() / 3; ++pixel) {
    const unsigned alpha = rgba[4 * pixel + 3];
    for (std::size_t c = 0; c < 3; ++c) {
      const unsigned mixed = alpha * rgba[4 * pixel + c] + (255 - alpha) * 255;
      rgb[3 * pixel + c] = static_cast<std::uint8_t>((mixed + 127) / 255);
    }
  }
}

// The largest block that decoding so many pixels takes: 16 bytes hold any format's pixel, JPEG pads to its blocks, and
// the packed bytes of a PNG are gathered in a buffer that doubles.
std::size_t largest_block(std::size_t file_bytes, std::int64_t width, std::int64_t height) {
  constexpr std::int64_t bytes_per_pixel = 16, padding = 64;
  constexpr std::size_t smallest = 1 << 20;
  return smallest + 2 * file_bytes + static_cast<std::size_t>(bytes_per_pixel * (width + padding) * (height + padding));
}

void check_bytes(std::span<const std::uint8_t> bytes, const std::string& name) {
  FOVEA_CHECK(!bytes.empty(), "[image] ", name, " is empty, expected a PNG or JPEG picture");
  FOVEA_CHECK(bytes.size() <= INT_MAX, "[image] ", name, " has ", bytes.size(), " bytes, at most ", INT_MAX,
              " are read");
}

void check_pixels(const std::string& name, int width, int height, std::int64_t max_pixels) {
  FOVEA_CHECK(std::int64_t{width} * height <= max_pixels, "[image] ", name, " is ", width, "x", height,
              " pixels, the limit is ", max_pixels, " in all");
}

bool is_jpeg(std::span<const std::uint8_t> bytes) { return bytes[0] == 0xFF; }  // PNG begins otherwise

// What stb_image's header reader says.
Size stb_size(std::span<const std::uint8_t> bytes, const std::string& name) {
  Size size{};
  int channels = 0;
  block_limit = largest_block(bytes.size(), 0, 0);
  FOVEA_CHECK(stbi_info_from_memory(bytes.data(), static_cast<int>(bytes.size()), &size.width, &size.height, &channels),
              "[image] ", name, ": expected a PNG or JPEG picture: ", stbi_failure_reason());
  return size;
}

Image decode_with_stb(std::span<const std::uint8_t> bytes, const std::string& name, std::int64_t max_pixels,
                      Alpha alpha) {
  auto [width, height] = stb_size(bytes, name);
  check_pixels(name, width, height, max_pixels);
  check_failed = limit_met = false;
  block_limit = largest_block(bytes.size(), width, height);
  const int wanted = alpha == Alpha::white ? Image::channels + 1 : Image::channels;
  int channels = 0;
  const std::unique_ptr<stbi_uc, FreePixels> pixels(
      stbi_load_from_memory(bytes.data(), static_cast<int>(bytes.size()), &width, &height, &channels, wanted));
  FOVEA_CHECK(!limit_met, "[image] ", name, ": damaged picture: it unpacks to more than its ", width, "x", height,
              " pixels, or announces more bytes than it has");
  FOVEA_CHECK(pixels, "[image] ", name, ": damaged picture: ", stbi_failure_reason());
  FOVEA_CHECK(!check_failed, "[image] ", name, ": damaged picture");
  Image image(width, height);
  if (alpha == Alpha::white) {
    lay_on_white(pixels.get(), image.pixels);
  } else {
    std::memcpy(image.pixels.data(), pixels.get(), image.pixels.size());
  }
  return image;
}

#if FOVEA_HAS_LIBJPEG

Size jpeg_size(std::span<const std::uint8_t> bytes, const std::string& name) {
  const detail::JpegFile file(bytes, name);
  return {file.width(), file.height()};
}

Image decode_jpeg(std::span<const std::uint8_t> bytes, const std::string& name, const DecodeOptions& options) {
  detail::JpegFile file(bytes, name);
  check_pixels(name, file.width(), file.height(), options.max_pixels);
  return file.decode(options.reduction);
}

#else

// A JPEG Huffman table has at most 256 symbols. stb_image 2.27 does not check that before it fills its array, so tables
// are looked at here: segment by segment, and in coded data, where 0xFF is always escaped, at every marker. A table
// that the end of the file cuts short counts as well: the decoder reads zeros there. (ITU-T T.81, B.1.1 and B.2.4.2)
bool huffman_tables_fit(std::span<const std::uint8_t> bytes) {
  constexpr std::size_t lengths = 16;
  const auto is_plain = [](int marker) {
    return marker == 0x00 || marker == 0x01 || (marker >= 0xD0 && marker <= 0xD9);
  };
  for (std::size_t at = 0; at + 3 < bytes.size();) {
    if (bytes[at] != 0xFF || bytes[at + 1] == 0xFF || is_plain(bytes[at + 1])) {
      ++at;
      continue;
    }
    const std::size_t begin = at + 4, length = static_cast<std::size_t>(bytes[at + 2]) * 256 + bytes[at + 3];
    if (length < 2) return true;  // the decoder stops here with an error
    if (bytes[at + 1] == 0xC4) {
      for (std::size_t table = begin; table < at + 2 + length && table < bytes.size();) {
        std::size_t symbols = 0;
        for (std::size_t i = table + 1; i <= table + lengths && i < bytes.size(); ++i) symbols += bytes[i];
        if (symbols > 256) return false;
        table += 1 + lengths + symbols;
      }
    }
    at += 2 + length;
  }
  return true;
}

Size jpeg_size(std::span<const std::uint8_t> bytes, const std::string& name) { return stb_size(bytes, name); }

Image decode_jpeg(std::span<const std::uint8_t> bytes, const std::string& name, const DecodeOptions& options) {
  FOVEA_CHECK(huffman_tables_fit(bytes), "[image] ", name, ": damaged picture: a Huffman table is too long");
  return decode_with_stb(bytes, name, options.max_pixels, options.alpha);
}

#endif

}  // namespace

bool can_be_reduced(std::span<const std::uint8_t> bytes) {
  return FOVEA_HAS_LIBJPEG && !bytes.empty() && is_jpeg(bytes);
}

Size picture_size(std::span<const std::uint8_t> bytes, const std::string& name) {
  check_bytes(bytes, name);
  return is_jpeg(bytes) ? jpeg_size(bytes, name) : stb_size(bytes, name);
}

Image decode(std::span<const std::uint8_t> bytes, const std::string& name, const DecodeOptions& options) {
  check_bytes(bytes, name);
  const int r = options.reduction;
  FOVEA_CHECK(r == 1 || r == 2 || r == 4 || r == 8, "[image] reduction is ", r, ", expected 1, 2, 4 or 8");
  return is_jpeg(bytes) ? decode_jpeg(bytes, name, options)
                        : decode_with_stb(bytes, name, options.max_pixels, options.alpha);
}

std::string read_picture_file(const std::string& path) {
  if (std::optional<std::string> member = io::read_member(path)) return std::move(*member);
  std::error_code unknown;  // what does not exist, reading explains
  FOVEA_CHECK(!std::filesystem::exists(path, unknown) || std::filesystem::is_regular_file(path, unknown), "[image] ",
              path, " is a directory or device, expected a PNG or JPEG picture");
  return io::read_file(path);
}

Image read_image(const std::string& path, const DecodeOptions& options) {
  const std::string bytes = read_picture_file(path);
  return decode({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}, path, options);
}

}  // namespace fovea::image
