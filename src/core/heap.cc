#include "core/heap.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <iterator>

#if __has_include(<sanitizer/asan_interface.h>)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) (static_cast<void>(address), static_cast<void>(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) (static_cast<void>(address), static_cast<void>(size))
#endif

namespace fovea::allocator {
namespace {

constexpr std::size_t huge_page = std::size_t{1} << 21;

std::size_t round_up(std::size_t size, std::size_t step) { return (size + step - 1) / step * step; }

char* map_addresses(std::size_t size) {
  void* data = ::mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return data == MAP_FAILED ? nullptr : static_cast<char*>(data);
}

}  // namespace

Heap::Block Heap::take(std::size_t size) {
  auto found = sizes_.lower_bound({size, nullptr});
  if (found == sizes_.end()) {
    if (!grow(size)) return {};
    found = sizes_.lower_bound({size, nullptr});
  }
  char* data = found->second;
  const Free block = remove(free_.find(data));
  const std::size_t cached = std::min(size, block.cached);
  if (block.size > size) insert(data + size, {block.size - size, block.cached - cached});
  ASAN_UNPOISON_MEMORY_REGION(data, size);
  return {data, cached < size};
}

void Heap::put(void* data, std::size_t size) {
  ASAN_POISON_MEMORY_REGION(data, size);
  char* begin = static_cast<char*>(data);
  Free block{size, size};
  const auto join = [&](Blocks::iterator neighbour) {
    const Free other = remove(neighbour);
    block = {block.size + other.size, block.cached + other.cached};
  };
  auto next = free_.lower_bound(begin);
  if (next != free_.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second.size == begin) {
      begin = before->first;
      join(before);
    }
  }
  if (next != free_.end() && next->first == static_cast<char*>(data) + size) join(next);
  insert(begin, block);
}

void Heap::give_back() {
  for (auto& [data, block] : free_) {
    if (block.cached > 0) ::madvise(data, block.size, MADV_DONTNEED);
    block.cached = 0;
  }
  cached_ = 0;
}

void Heap::insert(char* data, Free block) {
  sizes_.insert({block.size, data});
  free_[data] = block;
  cached_ += block.cached;
}

Heap::Free Heap::remove(Blocks::iterator at) {
  const Free block = at->second;
  cached_ -= block.cached;
  sizes_.erase({block.size, at->first});
  free_.erase(at);
  return block;
}

// Moves the top up until a free block of `size` ends there.
bool Heap::grow(std::size_t size) {
  const auto missing = [&] {
    if (free_.empty()) return size;
    const auto& [data, block] = *free_.rbegin();
    return data + block.size == top_ ? size - block.size : size;
  };
  if (static_cast<std::size_t>(end_ - top_) < missing() && !reserve(size)) return false;
  const std::size_t wanted = missing(), usable = static_cast<std::size_t>(usable_ - top_);
  if (wanted > usable) {
    const std::size_t more = round_up(wanted - usable, huge_page);
    if (::mprotect(usable_, more, PROT_READ | PROT_WRITE) != 0) return false;
    usable_ += more;
  }
  char* from = top_;
  top_ += wanted;
  put(from, wanted);
  // What was just added holds no pages yet.
  auto last = std::prev(free_.upper_bound(from));
  last->second.cached -= wanted;
  cached_ -= wanted;
  return true;
}

// A new range of addresses with room for `size` bytes at least. Addresses alone cost nothing; where they are limited,
// fewer are asked for.
bool Heap::reserve(std::size_t size) {
  if (size > SIZE_MAX / 4) return false;
  const std::size_t least = round_up(size, huge_page) + huge_page;
  for (std::size_t wanted = std::max(least, std::size_t{1} << 40); wanted >= least; wanted /= 2) {
    char* data = map_addresses(wanted);
    if (data == nullptr) continue;
    const std::size_t skipped =
        round_up(reinterpret_cast<std::uintptr_t>(data), huge_page) - reinterpret_cast<std::uintptr_t>(data);
#ifdef MADV_HUGEPAGE
    ::madvise(data, wanted, MADV_HUGEPAGE);
#endif
    top_ = usable_ = data + skipped;
    end_ = data + wanted / huge_page * huge_page;
    return true;
  }
  return false;
}

}  // namespace fovea::allocator
