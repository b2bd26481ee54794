// LAMB over a parameter store.
#pragma once

#include <cstdint>

#include "fovea/optim/param_store.h"

namespace fovea::optim {

// LAMB (You et al. 2020, "Large batch optimization for deep learning", algorithm 2, with bias correction): Adam's
// direction plus weight decay, scaled for every named tensor by the ratio of the norms of its weights and of its update
// (1 where either is zero). Tensors without weight decay (gains, biases, ...) move by Adam's direction as it is. The
// published runs clip the gradient to norm 1 first.
struct FOVEA_API Lamb {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-6, weight_decay = 0.01;  // the paper's
  std::int64_t steps = 0;                                              // taken so far

  // One update of every weight from the store's gradients, which are multiplied by `gradient_scale` on the way (zero
  // where backward did not arrive). Throws Error when lr or a setting is out of range.
  void step(ParamStore& store, double lr, double gradient_scale = 1);
};

}  // namespace fovea::optim
