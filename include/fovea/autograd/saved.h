// What a backward function keeps.
#pragma once

#include <memory>
#include <utility>

#include "fovea/autograd/var.h"

namespace fovea {

// A tensor kept for backward as it is, with the version it had. Holds a Tensor, never a Var: a node must not own
// itself.
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

// An activation kept for backward in the least memory: as the recipe of the operation that computed it, where that gave
// one; inside SaveInBf16 as bf16; otherwise as it is. Copies share what they keep.
class FOVEA_API SavedActivation {
 public:
  SavedActivation() = default;
  explicit SavedActivation(const Var& x);         // an input of the operation
  explicit SavedActivation(Tensor intermediate);  // what the operation computed on the way

  bool defined() const { return recipe_ != nullptr || rounded_ != nullptr || exact_->defined(); }
  // The value, in memory of its own unless it was kept as it is: hold it for as long as its elements are read. Throws
  // Error as Saved::get() does.
  Tensor restore() const;
  // What saves `result`, whose value this is, shares this one's memory.
  void share_with(const Var& result) const {
    if (rounded_ && result.node()) result.node()->rounded = rounded_;
  }

 private:
  Saved exact_;
  std::shared_ptr<const Recipe> recipe_;
  std::shared_ptr<const Tensor> rounded_;
};

// While one with `on` lives, activations that are saved on this thread are rounded to bf16 (nearest, ties to even):
// half the memory, gradients with an error of some 2^-9. Not rounded are f64 values, leaves (parameters and what is fed
// in), values of fewer than 1024 elements, and whatever an operation keeps as Saved: statistics, indices, what losses
// read.
class FOVEA_API SaveInBf16 {
 public:
  explicit SaveInBf16(bool on = true);
  ~SaveInBf16();
  SaveInBf16(const SaveInBf16&) = delete;
  SaveInBf16& operator=(const SaveInBf16&) = delete;

 private:
  bool previous_;
};

}  // namespace fovea
