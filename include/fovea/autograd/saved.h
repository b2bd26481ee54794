// What a backward function keeps.
#pragma once

#include <utility>

#include "fovea/tensor/tensor.h"

namespace fovea {

// A tensor kept for backward, with the version it had. Holds a Tensor, never a Var: a node must not own itself.
class Saved {
 public:
  Saved() = default;
  explicit Saved(Tensor tensor) : tensor_(std::move(tensor)), version_(tensor_.version()) {}

  // Throws Error when the elements were changed after they were saved.
  const Tensor& get() const {
    FOVEA_CHECK(
        tensor_.version() == version_, "[backward] a tensor of shape ", tensor_.shape(),
        " that backward still needs was changed in place\nhint: call backward before changing it, or clone() it");
    return tensor_;
  }
  operator const Tensor&() const { return get(); }  // NOLINT: reads like the tensor it keeps
  const Tensor& operator*() const { return get(); }
  const Tensor* operator->() const { return &get(); }

 private:
  Tensor tensor_;
  std::uint64_t version_ = 0;
};

}  // namespace fovea
