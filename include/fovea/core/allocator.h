// Caching allocator behind every tensor, with statistics.
#pragma once

#include <cstddef>
#include <cstdint>

#include "fovea/core/export.h"

namespace fovea::allocator {

inline constexpr std::size_t alignment = 64;  // bytes; one cache line, and the widest vector

struct Stats {
  std::int64_t live_bytes = 0;    // handed out and not yet returned
  std::int64_t peak_bytes = 0;    // largest live_bytes since the start or the last reset_peak
  std::int64_t cached_bytes = 0;  // returned and kept for reuse, with their pages
  std::int64_t allocations = 0;   // calls of allocate so far
  std::int64_t cache_misses = 0;  // those that went to the operating system
};

// 64-byte aligned memory of at least `bytes`; contents are undefined. Throws Error when memory is exhausted.
// Both functions may be called from any thread.
FOVEA_API void* allocate(std::size_t bytes);
FOVEA_API void deallocate(void* pointer, std::size_t bytes) noexcept;  // `bytes` as given to allocate

FOVEA_API Stats stats();
FOVEA_API void reset_peak();
FOVEA_API void release_cached();  // gives what is cached back to the operating system

}  // namespace fovea::allocator
