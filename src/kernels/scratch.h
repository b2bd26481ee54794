// Temporary memory of a kernel.
#pragma once

#include <cstddef>
#include <cstdint>

#include "fovea/core/allocator.h"

namespace fovea::kernels {

// An uninitialised, aligned array from the caching allocator, returned at the end of the scope.
template <class T>
class Scratch {
 public:
  explicit Scratch(std::int64_t count)
      : bytes_(static_cast<std::size_t>(count) * sizeof(T)), data_(static_cast<T*>(allocator::allocate(bytes_))) {}
  ~Scratch() { allocator::deallocate(data_, bytes_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  T* data() const { return data_; }
  T& operator[](std::int64_t i) const { return data_[i]; }

 private:
  std::size_t bytes_;
  T* data_;
};

}  // namespace fovea::kernels
