// Reference-counted memory of a tensor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "fovea/core/allocator.h"

namespace fovea {

// Owns one block of the caching allocator.
class Storage {
 public:
  explicit Storage(std::size_t bytes) : data_(allocator::allocate(bytes)), bytes_(bytes) {}
  ~Storage() { allocator::deallocate(data_, bytes_); }
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  void* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }

 private:
  void* data_;
  std::size_t bytes_;
};

// Counts the writes to a tensor, so that backward notices when a value it saved was changed in place. Views share
// their base's counter; parameters inside a ParamStore's block have one each. Threads may count at the same time; by
// the compiler's own operations, since <atomic> is a thousand lines for everybody who includes a tensor.
class VersionCounter {
 public:
  std::uint64_t count() const { return __atomic_load_n(&count_, __ATOMIC_RELAXED); }
  void increment() { __atomic_fetch_add(&count_, 1, __ATOMIC_RELAXED); }

 private:
  std::uint64_t count_ = 0;
};

}  // namespace fovea
