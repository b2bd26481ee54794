// What an objective returns.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "fovea/autograd/var.h"

namespace fovea::objectives {

// The number to minimise, and named figures for the meters.
struct Loss {
  Var total;  // scalar
  std::vector<std::pair<std::string, double>> parts;
};

}  // namespace fovea::objectives
