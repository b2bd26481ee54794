// From the tape's slots to the kernels' destinations.
#pragma once

#include "fovea/autograd/var.h"
#include "fovea/kernels/grad_target.h"

namespace fovea::ops::detail {

// Destination of input i's gradient, empty when none is wanted. When two inputs are one value, the later target adds to
// the earlier one: a kernel must have written an element of the first before it adds to the second.
template <class T>
kernels::GradTarget<T> grad_target(Grads& g, int i) {
  if (!g.wants(i)) return {};
  const GradSlot slot = g.into(i);
  return {slot.data<T>(), slot.accumulate};
}

// The elements, or null when there is no such input.
template <class T>
const T* data_or_null(const Tensor& x) {
  return x.defined() ? x.data<T>() : nullptr;
}

}  // namespace fovea::ops::detail
