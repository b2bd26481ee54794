// Switches recording off.
#pragma once

#include "fovea/core/export.h"

namespace fovea {

// While one lives, operations on this thread record nothing and keep nothing.
class FOVEA_API NoGrad {
 public:
  NoGrad();
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  bool previous_;
};

}  // namespace fovea
