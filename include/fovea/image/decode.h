// PNG and JPEG files to pixels.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "fovea/core/export.h"
#include "fovea/image/image.h"

namespace fovea::image {

inline constexpr std::int64_t default_max_pixels = std::int64_t{64} << 20;

// What becomes of transparency.
enum class Alpha : std::uint8_t {
  drop,   // the colours stay as they are in the file (Pillow's convert("RGB"), hence openai/CLIP and open_clip)
  white,  // the picture is laid on white (transformers from version 5 on)
};

struct DecodeOptions {
  std::int64_t max_pixels = default_max_pixels;  // of the file's picture
  Alpha alpha = Alpha::drop;
  // 1, 2, 4 or 8: JPEG pictures come with sides of 1 / reduction of the file's, rounded up, and in a fraction of the
  // time, where can_be_reduced(); all others come whole. The pixels are close to those of a resized picture, but
  // not the same (Pillow's draft mode gives the same).
  int reduction = 1;
};

// Decodes a PNG or JPEG picture. Gray, palette and CMYK pictures become RGB, 16-bit channels keep their upper 8 bits.
// JPEG pictures equal Pillow's bit for bit where the build has libjpeg-turbo, as PNG pictures always do. Throws Error,
// naming `name`, when the bytes are not such a picture, are damaged, end too early, or announce more than
// options.max_pixels pixels (checked before anything is decoded).
FOVEA_API Image decode(std::span<const std::uint8_t> bytes, const std::string& name, const DecodeOptions& options = {});

// What the header says. Throws Error when there is none.
FOVEA_API Size picture_size(std::span<const std::uint8_t> bytes, const std::string& name);

// Whether decode reduces this file's picture: it is a JPEG, and the build has libjpeg-turbo (otherwise stb_image
// decodes all).
FOVEA_API bool can_be_reduced(std::span<const std::uint8_t> bytes);

// The bytes of a picture's file, or of one inside a tar archive (io::member_path). Throws Error when it cannot be read, or is a folder or device.
FOVEA_API std::string read_picture_file(const std::string& path);

// Both.
FOVEA_API Image read_image(const std::string& path, const DecodeOptions& options = {});

}  // namespace fovea::image
