#include "fovea/image/image.h"

#include <bit>
#include <map>
#include <mutex>
#include <new>

namespace fovea::image::detail {
namespace {

constexpr std::size_t smallest = std::size_t{64} << 10;       // below, the system's allocator does well
constexpr std::size_t largest_total = std::size_t{64} << 20;  // kept in all

// Sizes of one eighth of an octave share their blocks.
std::size_t rounded(std::size_t bytes) {
  const std::size_t step = std::bit_floor(bytes) / 8;
  return (bytes + step - 1) / step * step;
}

class Pool {
 public:
  // Null when there is none.
  void* take(std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    const auto found = free_.find(bytes);
    if (found == free_.end() || found->second.empty()) return nullptr;
    void* block = found->second.back();
    found->second.pop_back();
    total_ -= bytes;
    return block;
  }
  bool keep(void* block, std::size_t bytes) noexcept {
    try {
      const std::lock_guard lock(mutex_);
      if (total_ + bytes > largest_total) return false;
      free_[bytes].push_back(block);
      total_ += bytes;
      return true;
    } catch (const std::bad_alloc&) {
      return false;
    }
  }

 private:
  std::mutex mutex_;
  std::map<std::size_t, std::vector<void*>> free_;
  std::size_t total_ = 0;
};

// Never destroyed: threads may still hold pictures when the program ends.
Pool& pool() {
  static Pool& instance = *new Pool;
  return instance;
}

}  // namespace

void* take_pixels(std::size_t bytes) {
  if (bytes < smallest) return ::operator new(bytes);
  if (void* block = pool().take(rounded(bytes))) return block;
  return ::operator new(rounded(bytes));
}

void give_back_pixels(void* block, std::size_t bytes) noexcept {
  if (bytes < smallest || !pool().keep(block, rounded(bytes))) ::operator delete(block);
}

}  // namespace fovea::image::detail
