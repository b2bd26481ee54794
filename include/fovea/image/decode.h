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

// Decodes a PNG or JPEG picture. Gray and palette pictures become RGB, 16-bit channels keep their upper 8 bits. Throws
// Error, naming `name`, when the bytes are not such a picture, are damaged, or announce more than `max_pixels` pixels
// (checked before anything is decoded).
FOVEA_API Image decode(std::span<const std::uint8_t> bytes, const std::string& name,
                       std::int64_t max_pixels = default_max_pixels, Alpha alpha = Alpha::drop);

// As decode, from a file. Throws Error also when the file cannot be read, or is a folder or device.
FOVEA_API Image read_image(const std::string& path, std::int64_t max_pixels = default_max_pixels,
                           Alpha alpha = Alpha::drop);

}  // namespace fovea::image
