#include "fovea/core/allocator.h"

#include <sys/mman.h>

#include <bit>
#include <cstdlib>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "fovea/core/error.h"

namespace fovea::allocator {
namespace {

// Sizes are rounded up to one of four steps per power of two, so that at most a quarter of a block is waste and a
// step's tensors find the blocks of the step before.
std::size_t size_class(std::size_t bytes) {
  if (bytes <= 256) return (bytes + alignment - 1) / alignment * alignment + (bytes == 0 ? alignment : 0);
  const std::size_t step = std::bit_floor(bytes - 1) / 4;
  return (bytes + step - 1) / step * step;
}

class Cache {
 public:
  void* allocate(std::size_t bytes) {
    const std::size_t size = size_class(bytes);
    {
      const std::lock_guard lock(mutex_);
      ++stats_.allocations;
      count_live(size);
      auto& list = free_[size];
      if (!list.empty()) {
        void* pointer = list.back();
        list.pop_back();
        stats_.cached_bytes -= static_cast<std::int64_t>(size);
        return pointer;
      }
      ++stats_.cache_misses;
    }
    void* pointer = from_system(size);
    if (pointer == nullptr) {
      release_cached();
      pointer = from_system(size);
    }
    if (pointer == nullptr) {
      const std::lock_guard lock(mutex_);
      stats_.live_bytes -= static_cast<std::int64_t>(size);
      fail("[allocator] out of memory: ", bytes, " bytes requested, ", stats_.live_bytes,
           " bytes live\nhint: a smaller batch or image size needs less memory");
    }
    return pointer;
  }

  void deallocate(void* pointer, std::size_t bytes) noexcept {
    const std::size_t size = size_class(bytes);
    const std::lock_guard lock(mutex_);
    stats_.live_bytes -= static_cast<std::int64_t>(size);
    try {
      free_[size].push_back(pointer);
      stats_.cached_bytes += static_cast<std::int64_t>(size);
    } catch (...) {
      std::free(pointer);
    }
  }

  Stats stats() {
    const std::lock_guard lock(mutex_);
    return stats_;
  }
  void reset_peak() {
    const std::lock_guard lock(mutex_);
    stats_.peak_bytes = stats_.live_bytes;
  }
  void release_cached() {
    const std::lock_guard lock(mutex_);
    for (auto& [size, list] : free_) {
      for (void* pointer : list) std::free(pointer);
    }
    free_.clear();
    stats_.cached_bytes = 0;
  }

 private:
  static constexpr std::size_t huge_page = std::size_t{1} << 21;

  void count_live(std::size_t size) {
    stats_.live_bytes += static_cast<std::int64_t>(size);
    if (stats_.live_bytes > stats_.peak_bytes) stats_.peak_bytes = stats_.live_bytes;
  }
  // Large blocks are aligned to huge pages and offered to them: fewer page faults and TLB misses.
  static void* from_system(std::size_t size) {
    const bool large = size >= 2 * huge_page;
    void* pointer = nullptr;
    if (::posix_memalign(&pointer, large ? huge_page : alignment, size) != 0) return nullptr;
#ifdef MADV_HUGEPAGE
    if (large) ::madvise(pointer, size, MADV_HUGEPAGE);
#endif
    return pointer;
  }

  std::mutex mutex_;
  std::unordered_map<std::size_t, std::vector<void*>> free_;
  Stats stats_;
};

// Never destroyed: tensors with static lifetime may be released after main.
Cache& cache() {
  static Cache& instance = *new Cache;
  return instance;
}

}  // namespace

void* allocate(std::size_t bytes) { return cache().allocate(bytes); }
void deallocate(void* pointer, std::size_t bytes) noexcept { cache().deallocate(pointer, bytes); }
Stats stats() { return cache().stats(); }
void reset_peak() { cache().reset_peak(); }
void release_cached() { cache().release_cached(); }

}  // namespace fovea::allocator
