// PNG and JPEG files to pixels.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "fovea/core/export.h"
#include "fovea/image/image.h"

namespace fovea::image {

inline constexpr std::int64_t default_max_pixels = std::int64_t{64} << 20;

// Decodes a PNG or JPEG picture. Gray and palette pictures become RGB, 16-bit channels keep their upper 8 bits, and
// alpha is dropped without blending, as Pillow's convert("RGB") does. Throws Error, naming `name`, when the bytes are
// not such a picture, are damaged, or announce more than `max_pixels` pixels (checked before anything is decoded).
FOVEA_API Image decode(std::span<const std::uint8_t> bytes, const std::string& name,
                       std::int64_t max_pixels = default_max_pixels);

// As decode, from a file. Throws Error also when the file cannot be read, or is a folder or device.
FOVEA_API Image read_image(const std::string& path, std::int64_t max_pixels = default_max_pixels);

}  // namespace fovea::image
