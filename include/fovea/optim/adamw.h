// AdamW over a parameter store.
#pragma once

#include <cstdint>

#include "fovea/optim/param_store.h"

namespace fovea::optim {

// Adam with decoupled weight decay (Loshchilov & Hutter 2019, algorithm 2), PyTorch's numbers.
struct FOVEA_API AdamW {
  double beta1 = 0.9, beta2 = 0.98, eps = 1e-6, weight_decay = 0.2;  // CLIP's for transformers
  std::int64_t steps = 0;                                            // taken so far

  // One update of every weight from the store's gradients, which are multiplied by `gradient_scale` on the way (zero
  // where backward did not arrive). Throws Error when lr or a setting is out of range.
  void step(ParamStore& store, double lr, double gradient_scale = 1);
};

// 2-norm over all gradients of the store, in f64.
FOVEA_API double gradient_norm(ParamStore& store);

// The factor that brings a gradient of norm `norm` down to `max_norm`, as PyTorch's clip_grad_norm_; 1 when max_norm is
// 0.
inline double clip_factor(double norm, double max_norm) {
  return max_norm > 0 && norm + 1e-6 > max_norm ? max_norm / (norm + 1e-6) : 1;
}

}  // namespace fovea::optim
