// Minimisation of smooth functions without their second derivatives. Private to the sources.
#pragma once

#include <vector>

#include "fovea/core/parallel.h"

namespace fovea::eval::detail {

struct LbfgsOptions {
  int max_iterations = 1000;
  int history = 10;                  // steps that the curvature is known from
  double gradient_tolerance = 1e-4;  // of the gradient's largest number
  double noise = 1e-14;              // values that differ by less, relatively, may be equal
};

struct LbfgsResult {
  double value = 0;
  int iterations = 0;
  bool converged = false;  // the gradient is within the tolerance
};

// Minimises f from x on, in place: f(x, gradient) gives the value at x and writes the gradient there. Liu and Nocedal
// 1989 with a line search for the strong Wolfe conditions (Nocedal and Wright, "Numerical Optimization", algorithms
// 7.5, 3.5 and 3.6; constants 1e-4 and 0.9). Where values are equal but for noise, slopes decide (Hager and Zhang 2005,
// the approximate Wolfe conditions). Ends early where no step helps any more.
LbfgsResult minimize(std::vector<double>& x, FunctionRef<double(const double*, double*)> f,
                     const LbfgsOptions& options);

}  // namespace fovea::eval::detail
