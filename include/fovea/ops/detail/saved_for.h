// What products keep of their operands.
#pragma once

#include "fovea/autograd/saved.h"
#include "fovea/autograd/var.h"

namespace fovea::ops::detail {

// What is kept of one operand of a product for the gradient of the other: nothing where that needs none.
inline SavedActivation saved_for(const Var& other, const Var& operand) {
  return other.requires_grad() ? SavedActivation(operand) : SavedActivation();
}
// As above, kept as it is: weights, which are in memory anyway, and what must stay exact.
inline Saved saved_for(const Var& other, const Tensor& operand) {
  return other.requires_grad() ? Saved(operand) : Saved();
}

}  // namespace fovea::ops::detail
