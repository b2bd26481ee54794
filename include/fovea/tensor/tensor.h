// Dense row-major array: the data that everything above computes with. No gradient lives here.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>

#include "fovea/core/dtype.h"
#include "fovea/core/error.h"
#include "fovea/core/shape.h"
#include "fovea/core/storage.h"

namespace fovea {

// A handle: copies share the elements (use clone() for a copy of them). Always contiguous, so a kernel needs a pointer
// and extents only; transposes are flags of the operations that can use them. Views (reshape, rows) share memory and
// version counter with their base.
class FOVEA_API Tensor {
 public:
  Tensor() = default;                                      // undefined
  explicit Tensor(Shape shape, DType dtype = DType::f32);  // elements uninitialised

  bool defined() const { return storage_ != nullptr; }
  const Shape& shape() const { return shape_; }
  int rank() const { return shape_.rank(); }
  std::int64_t dim(int axis) const { return shape_[axis]; }
  std::int64_t numel() const { return shape_.numel(); }
  DType dtype() const { return dtype_; }
  std::int64_t bytes() const { return numel() * size_of(dtype_); }

  // Pointer to the first element. Throws Error unless T is the element type.
  template <class T>
  const T* data() const {
    check_type(dtype_of<T>());
    return static_cast<const T*>(raw());
  }
  // As data(), for writing: counts as a change, which backward notices if it has saved this tensor.
  template <class T>
  T* mutable_data() {
    check_type(dtype_of<T>());
    return static_cast<T*>(mutable_raw());
  }
  const void* raw() const { return static_cast<const std::byte*>(storage_ ? storage_->data() : nullptr) + offset_; }
  void* mutable_raw() {
    bump_version();
    return static_cast<std::byte*>(storage_ ? storage_->data() : nullptr) + offset_;
  }

  Tensor reshape(Shape shape) const;                        // view; same number of elements
  Tensor rows(std::int64_t begin, std::int64_t end) const;  // view of [begin, end) along the first axis
  // View of numel(shape) elements starting at element `begin`, with a version counter of its own (parameters in a
  // block).
  Tensor segment(std::int64_t begin, Shape shape) const;
  Tensor clone() const;                  // deep copy
  Tensor to(DType dtype) const;          // converted copy; itself when the type is the same
  void copy_from(const Tensor& source);  // elements; same shape, types may differ
  void fill(double value);

  // The only element. Throws Error unless there is exactly one; converts from any element type.
  double item() const;
  // Element i in row-major order, converted: for tests and small tensors.
  double at(std::int64_t i) const;

  std::uint64_t version() const { return version_ ? version_->count() : 0; }
  void bump_version() {
    if (version_) version_->increment();
  }
  bool shares_storage(const Tensor& other) const { return storage_ && storage_ == other.storage_; }
  // True when this handle is the only one to its elements, so that they may be reused as a result.
  bool unique() const { return storage_.use_count() == 1; }

 private:
  void check_type(DType asked) const {
    FOVEA_CHECK(defined(), "[tensor] undefined tensor used as ", to_string(asked));
    FOVEA_CHECK(asked == dtype_, "[tensor] elements are ", to_string(dtype_), ", asked for ", to_string(asked));
  }

  std::shared_ptr<Storage> storage_;
  std::shared_ptr<VersionCounter> version_;
  std::int64_t offset_ = 0;  // bytes
  Shape shape_;
  DType dtype_ = DType::f32;
};

}  // namespace fovea
