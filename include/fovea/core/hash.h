// A fast hash of bytes, to tell contents apart. Not for secrets: whoever wants to can make two inputs collide.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>

#include "fovea/core/export.h"

namespace fovea {

struct Hash128 {
  std::uint64_t low = 0, high = 0;

  friend auto operator<=>(const Hash128&, const Hash128&) = default;
};

// MurmurHash3_x64_128 (Appleby 2011) on a little-endian machine.
FOVEA_API Hash128 hash128(const void* data, std::size_t bytes, std::uint32_t seed = 0);

}  // namespace fovea
