// Which instruction set the kernels run on.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "fovea/core/export.h"

namespace fovea::cpu {

enum class Isa : std::uint8_t { scalar, ssse3, sse4, avx2, avx512, neon };

FOVEA_API std::string to_string(Isa isa);

// The sets that this build and this processor both have, weakest first; never empty.
FOVEA_API std::vector<Isa> available_isas();

// The one in use: the best available, unless FOVEA_MAX_ISA=scalar|ssse3|sse4|avx2|avx512|neon or set_max_isa caps it.
// Throws Error when FOVEA_MAX_ISA is another name.
FOVEA_API Isa active_isa();

// Caps the instruction set of all later kernel calls. For tests and measurements.
FOVEA_API void set_max_isa(Isa isa);

// The set of this name. Throws Error when there is none.
FOVEA_API Isa parse_isa(std::string_view name);

// Number of processors that this process may run on, at least 1. Throws Error when FOVEA_MAX_ISA is an unknown name:
// whatever computes asks this first.
FOVEA_API int processors();

struct CacheSizes {
  std::int64_t l1d = 32 * 1024, l2 = 512 * 1024, l3 = 8 * 1024 * 1024;  // bytes
};
FOVEA_API CacheSizes cache_sizes();

}  // namespace fovea::cpu
