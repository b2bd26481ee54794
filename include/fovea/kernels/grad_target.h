// Where kernels write gradients.
#pragma once

namespace fovea::kernels {

// The gradient of one input: not wanted when `data` is null, otherwise written, or added to when `accumulate` is set.
template <class T>
struct GradTarget {
  T* data = nullptr;
  bool accumulate = false;

  explicit operator bool() const { return data != nullptr; }
  // The same from element i on.
  template <class I>
  GradTarget from(I i) const {
    return {data == nullptr ? nullptr : data + i, accumulate};
  }
  // The plain form of a store, for references.
  template <class I>
  void put(I i, T value) const {
    data[i] = accumulate ? data[i] + value : value;
  }
};

}  // namespace fovea::kernels
