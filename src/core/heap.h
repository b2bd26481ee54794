// Large blocks of memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <utility>

namespace fovea::allocator {

// A heap that splits free blocks and joins free neighbours, so that memory serves one size after another: its extent
// stays near the largest sum of blocks in use at once, which lists of free blocks per size do not achieve. It grows at
// one end of a range of reserved addresses and takes the smallest block that fits. Pages are huge where the system has
// them. Not safe to use from two threads at once.
class Heap {
 public:
  static constexpr std::size_t granule = 4096;  // bytes; sizes are multiples of it

  struct Block {
    void* data = nullptr;  // null: the system has no more memory
    bool fresh = false;    // memory that was not in use before, or was given back: its pages are still to come
  };
  Block take(std::size_t size);
  void put(void* data, std::size_t size);
  void give_back();  // the pages of all free blocks, to the system

  std::size_t cached() const { return cached_; }  // bytes of free blocks that may hold pages

 private:
  struct Free {
    std::size_t size, cached;  // bytes, and how many of them may hold pages
  };
  using Blocks = std::map<char*, Free>;

  void insert(char* data, Free block);
  Free remove(Blocks::iterator at);
  bool grow(std::size_t size);
  bool reserve(std::size_t size);

  Blocks free_;                                    // by address; no two are neighbours
  std::set<std::pair<std::size_t, char*>> sizes_;  // the same blocks
  std::size_t cached_ = 0;
  char *top_ = nullptr, *usable_ = nullptr, *end_ = nullptr;  // [.., top_) is in blocks, [.., usable_) is writable
};

}  // namespace fovea::allocator
