#include "fovea/image/encode.h"

#include "fovea/core/error.h"

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wextra"
#include <stb/stb_image_write.h>
#pragma GCC diagnostic pop

namespace fovea::image {
namespace {

void append(void* out, void* bytes, int count) {
  static_cast<std::string*>(out)->append(static_cast<const char*>(bytes), static_cast<std::size_t>(count));
}

void check(const Image& image) {
  FOVEA_CHECK(image.width > 0 && image.height > 0, "[image] cannot encode a picture of ", image.width, "x",
              image.height, " pixels");
}

}  // namespace

std::string encode_png(const Image& image) {
  check(image);
  std::string bytes;
  FOVEA_CHECK(stbi_write_png_to_func(append, &bytes, image.width, image.height, Image::channels, image.pixels.data(),
                                     image.width * Image::channels),
              "[image] a picture of ", image.width, "x", image.height, " pixels cannot be encoded as PNG");
  return bytes;
}

std::string encode_jpeg(const Image& image, int quality) {
  check(image);
  FOVEA_CHECK(quality >= 1 && quality <= 100, "[image] JPEG quality is ", quality, ", expected 1 to 100");
  std::string bytes;
  FOVEA_CHECK(
      stbi_write_jpg_to_func(append, &bytes, image.width, image.height, Image::channels, image.pixels.data(), quality),
      "[image] a picture of ", image.width, "x", image.height, " pixels cannot be encoded as JPEG");
  return bytes;
}

}  // namespace fovea::image
