// The reverse pass.
#pragma once

#include "fovea/autograd/var.h"

namespace fovea {

// Computes the gradients of `y` with respect to every leaf it depends on, adding to what the leaves hold. `dy` is the
// gradient of y itself: ones when left out, which needs y to have one element. Nodes are freed as the pass leaves
// them, so a second backward through the same values throws Error.
FOVEA_API void backward(const Var& y, Tensor dy = {});

}  // namespace fovea
