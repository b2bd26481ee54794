// Stochastic gradient descent over a parameter store.
#pragma once

#include <cstdint>

#include "fovea/optim/param_store.h"

namespace fovea::optim {

// SGD with momentum, PyTorch's numbers (torch.optim.SGD without dampening): weight decay is added to the gradient, the
// buffer is momentum * buffer + gradient, and the weights move by lr times the buffer, or, with Nesterov's variant
// (Sutskever et al. 2013), by lr times gradient + momentum * buffer.
struct FOVEA_API Sgd {
  double momentum = 0.9, weight_decay = 0;
  bool nesterov = false;
  std::int64_t steps = 0;  // taken so far

  // One update of every weight from the store's gradients, which are multiplied by `gradient_scale` on the way (zero
  // where backward did not arrive). Throws Error when lr or a setting is out of range.
  void step(ParamStore& store, double lr, double gradient_scale = 1);
};

}  // namespace fovea::optim
