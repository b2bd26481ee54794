#include "fovea/image/decode.h"

#include <climits>
#include <cstring>
#include <memory>

#include "fovea/core/error.h"
#include "fovea/io/file.h"

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_NO_STDIO
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
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

}  // namespace

Image decode(std::span<const std::uint8_t> bytes, const std::string& name, std::int64_t max_pixels) {
  FOVEA_CHECK(!bytes.empty(), "[image] ", name, " is empty, expected a PNG or JPEG picture");
  FOVEA_CHECK(bytes.size() <= INT_MAX, "[image] ", name, " has ", bytes.size(), " bytes, at most ", INT_MAX,
              " are read");
  const int size = static_cast<int>(bytes.size());
  int width = 0, height = 0, channels = 0;
  FOVEA_CHECK(stbi_info_from_memory(bytes.data(), size, &width, &height, &channels), "[image] ", name,
              ": expected a PNG or JPEG picture: ", stbi_failure_reason());
  FOVEA_CHECK(std::int64_t{width} * height <= max_pixels, "[image] ", name, " is ", width, "x", height,
              " pixels, the limit is ", max_pixels, " in all");
  const std::unique_ptr<stbi_uc, FreePixels> rgb(
      stbi_load_from_memory(bytes.data(), size, &width, &height, &channels, Image::channels));
  FOVEA_CHECK(rgb, "[image] ", name, ": damaged picture: ", stbi_failure_reason());
  Image image(width, height);
  std::memcpy(image.pixels.data(), rgb.get(), image.pixels.size());
  return image;
}

Image read_image(const std::string& path, std::int64_t max_pixels) {
  const std::string bytes = io::read_file(path);
  return decode({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}, path, max_pixels);
}

}  // namespace fovea::image
