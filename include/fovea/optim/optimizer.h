// An optimiser chosen at run time.
#pragma once

#include <variant>

#include "fovea/optim/adafactor.h"
#include "fovea/optim/adamw.h"
#include "fovea/optim/lamb.h"
#include "fovea/optim/sgd.h"

namespace fovea::optim {

// Any of the optimisers, with what they have in common.
struct Optimizer {
  std::variant<AdamW, Lamb, Sgd, Adafactor> kind;

  // Creates in the store what the optimiser keeps there, so that it can be set from a file.
  void prepare(ParamStore& store) const {
    if (const auto* adafactor = std::get_if<Adafactor>(&kind)) adafactor->prepare(store);
  }

  void step(ParamStore& store, double lr, double gradient_scale = 1) {
    std::visit([&](auto& optimizer) { optimizer.step(store, lr, gradient_scale); }, kind);
  }
  std::int64_t steps() const {  // taken so far
    return std::visit([](const auto& optimizer) { return optimizer.steps; }, kind);
  }
  void set_steps(std::int64_t steps) {
    std::visit([steps](auto& optimizer) { optimizer.steps = steps; }, kind);
  }
};

}  // namespace fovea::optim
