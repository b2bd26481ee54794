// Files compressed with gzip.
#pragma once

#include <string>
#include <string_view>

#include "fovea/core/export.h"

namespace fovea::io {

// What was compressed (RFC 1952, one member). Throws Error opening with `name` when the bytes are no gzip file, are
// damaged (by its checksum), or hold more than `max_bytes`.
FOVEA_API std::string gunzip(std::string_view bytes, const std::string& name,
                             std::size_t max_bytes = std::size_t{1} << 30);

}  // namespace fovea::io
