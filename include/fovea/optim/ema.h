// Moving averages of a model's weights.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "fovea/optim/param_store.h"

namespace fovea::optim {

// The exponential moving average of every trainable weight and of every buffer (BatchNorm's running statistics), by the
// rule of timm's ModelEmaV3: average += (1 - decay) * (value - average). The weights' averages are the role "ema" of
// the store.
class FOVEA_API Ema {
 public:
  // Starts at the current values. Throws Error unless decay is in [0, 1). Store and entries must be those of one model.
  Ema(ParamStore& store, const std::vector<nn::ParamEntry>& entries, double decay, bool warmup);

  // The decay of one step, counted from 1: 0 in the first; with warm-up min(decay, 1 - step^(-2/3)), so that a short
  // run is not dominated by its first weights.
  double decay_at(std::int64_t step) const;

  // To be called after the optimiser's step.
  void update(std::int64_t step);

  // Exchanges the model's values with their averages; a second call changes them back.
  void swap();

  // The average of an entry, in its shape; undefined for a frozen parameter.
  Tensor average(const nn::ParamEntry& entry) const;

 private:
  struct BufferAverage {
    std::shared_ptr<nn::ParamLeaf> leaf;
    Tensor average;
  };

  ParamStore& store_;
  Tensor weights_;  // the store's role
  std::vector<BufferAverage> buffers_;
  double decay_;
  bool warmup_;
};

// The model holds the averages while one lives.
class EmaScope {
 public:
  explicit EmaScope(Ema* ema) : ema_(ema) {  // nothing is changed when there is no average
    if (ema_ != nullptr) ema_->swap();
  }
  ~EmaScope() {
    if (ema_ != nullptr) ema_->swap();
  }
  EmaScope(const EmaScope&) = delete;
  EmaScope& operator=(const EmaScope&) = delete;

 private:
  Ema* ema_;
};

}  // namespace fovea::optim
