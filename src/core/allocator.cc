#include "fovea/core/allocator.h"

#include <bit>
#include <cstdlib>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "core/heap.h"
#include "fovea/core/error.h"

namespace fovea::allocator {
namespace {

// From here on blocks come from the heap.
constexpr std::size_t large = std::size_t{1} << 16;

// Small sizes are rounded up to one of eight steps per power of two, so that at most an eighth of a block is waste and
// a step's tensors find the blocks of the step before; large ones to whole granules of the heap.
std::size_t size_class(std::size_t bytes) {
  if (bytes <= 512) return (bytes + alignment - 1) / alignment * alignment + (bytes == 0 ? alignment : 0);
  if (bytes > SIZE_MAX / 2) return bytes;  // which no memory has
  const std::size_t step = bytes >= large ? Heap::granule : std::bit_floor(bytes - 1) / 8;
  return (bytes + step - 1) / step * step;
}

class Cache {
 public:
  void* allocate(std::size_t bytes) {
    const std::size_t size = size_class(bytes);
    const std::lock_guard lock(mutex_);
    void* pointer = size >= large ? take_large(size) : take_small(size);
    FOVEA_CHECK(pointer != nullptr, "[allocator] out of memory: ", bytes, " bytes requested, ", stats_.live_bytes,
                " bytes live\nhint: a smaller batch or image size needs less memory");
    ++stats_.allocations;
    stats_.live_bytes += static_cast<std::int64_t>(size);
    if (stats_.live_bytes > stats_.peak_bytes) stats_.peak_bytes = stats_.live_bytes;
    return pointer;
  }

  void deallocate(void* pointer, std::size_t bytes) noexcept {
    const std::size_t size = size_class(bytes);
    const std::lock_guard lock(mutex_);
    stats_.live_bytes -= static_cast<std::int64_t>(size);
    try {
      if (size >= large) return heap_.put(pointer, size);
      free_[size].push_back(pointer);
      small_cached_ += size;
    } catch (...) {
      if (size < large) std::free(pointer);  // a large block is lost: there is no memory to note it down
    }
  }

  Stats stats() {
    const std::lock_guard lock(mutex_);
    Stats now = stats_;
    now.cached_bytes = static_cast<std::int64_t>(small_cached_ + heap_.cached());
    return now;
  }
  void reset_peak() {
    const std::lock_guard lock(mutex_);
    stats_.peak_bytes = stats_.live_bytes;
  }
  void release_cached() {
    const std::lock_guard lock(mutex_);
    release();
  }

 private:
  void* take_large(std::size_t size) {
    Heap::Block block = heap_.take(size);
    if (block.data == nullptr) {
      release();
      block = heap_.take(size);
    }
    if (block.fresh) ++stats_.cache_misses;
    return block.data;
  }
  void* take_small(std::size_t size) {
    auto& list = free_[size];
    if (!list.empty()) {
      void* pointer = list.back();
      list.pop_back();
      small_cached_ -= size;
      return pointer;
    }
    ++stats_.cache_misses;
    void* pointer = nullptr;
    if (::posix_memalign(&pointer, alignment, size) == 0) return pointer;
    release();
    return ::posix_memalign(&pointer, alignment, size) == 0 ? pointer : nullptr;
  }
  void release() {
    for (auto& [size, list] : free_) {
      for (void* pointer : list) std::free(pointer);
    }
    free_.clear();
    small_cached_ = 0;
    heap_.give_back();
  }

  std::mutex mutex_;
  std::unordered_map<std::size_t, std::vector<void*>> free_;  // small blocks by size
  std::size_t small_cached_ = 0;
  Heap heap_;
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
