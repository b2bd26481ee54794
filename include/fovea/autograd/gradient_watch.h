// Hearing during a backward pass which gradients are complete.
#pragma once

#include "fovea/autograd/var.h"

namespace fovea {

// Called on the thread that runs last_backward().
class FOVEA_API GradientWatch {
 public:
  virtual ~GradientWatch();
  virtual void completed(Node& leaf) = 0;  // of a leaf with grad_fixed: nothing will be added to it any more
  virtual void progress() = 0;             // between two operations
};

// While one lives, last_backward() on this thread tells `watch`; nothing when it is null.
class FOVEA_API WatchGradients {
 public:
  explicit WatchGradients(GradientWatch* watch);
  ~WatchGradients();
  WatchGradients(const WatchGradients&) = delete;
  WatchGradients& operator=(const WatchGradients&) = delete;

 private:
  GradientWatch* previous_;
};

// backward(), as the last pass of a step: no other one adds to the gradients of the parameters it reaches.
FOVEA_API void last_backward(const Var& y);

}  // namespace fovea
