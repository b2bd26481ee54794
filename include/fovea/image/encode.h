// Pixels to the bytes of PNG and JPEG files.
#pragma once

#include <string>

#include "fovea/core/export.h"
#include "fovea/image/image.h"

namespace fovea::image {

// Both throw Error when the picture has no pixels. `quality` is JPEG's, 1 to 100.
FOVEA_API std::string encode_png(const Image& image);
FOVEA_API std::string encode_jpeg(const Image& image, int quality = 85);

}  // namespace fovea::image
