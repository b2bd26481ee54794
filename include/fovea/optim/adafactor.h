// Adafactor over a parameter store, as big_vision trains SigLIP with it.
#pragma once

#include <cstdint>

#include "fovea/optim/param_store.h"

namespace fovea::optim {

// Adafactor (Shazeer & Stern 2018, algorithm 4) in the variant of Zhai et al. 2022, "Scaling vision transformers",
// section 3.4 (google-research/big_vision, optax.py, `scale_by_adafactor`): no relative step, no clipping of updates, a
// first moment kept in bf16, and a second moment of which matrices keep the means over rows and columns alone. Step t,
// counted from 1, with g^2 + eps:
//
//   v = b2 v + (1 - b2) (g^2 + eps),  b2 = min(beta2_cap, 1 - t^-decay_exponent)
//   m = bf16(momentum) m + (1 - momentum) g / sqrt(v);  w -= lr (m + weight_decay w)
//
// A tensor whose two largest extents are both at least `factor_from` keeps v's means over each of these two axes, and v
// is their product over the mean of all. What is kept of m for the next step is rounded to bf16, as JAX's promotion
// rounds momentum and its product with the kept m.
struct FOVEA_API Adafactor {
  double momentum = 0.9, beta2_cap = 0.999, decay_exponent = 0.8, eps = 1e-30, weight_decay = 0;
  std::int64_t factor_from = 32;
  std::int64_t steps = 0;  // taken so far

  // Creates the moments in the store: "exp_avg" in bf16 and "factored", whose tensors hold the means over rows and then
  // those over columns, or the whole second moment.
  void prepare(ParamStore& store) const;

  // One update of every weight from the store's gradients, which are multiplied by `gradient_scale` on the way (zero
  // where backward did not arrive). Throws Error when lr or a setting is out of range.
  void step(ParamStore& store, double lr, double gradient_scale = 1);
};

}  // namespace fovea::optim
