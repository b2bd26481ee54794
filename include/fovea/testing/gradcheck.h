// Checks of differentiable functions, for this library's tests and for users' own operations and losses.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "fovea/autograd/var.h"
#include "fovea/core/parallel.h"

namespace fovea::testing {

using VarFunction = FunctionRef<Var(std::span<const Var>)>;

struct GradcheckOptions {
  double step = 1e-3;       // of the 4-point stencil
  double tolerance = 1e-6;  // largest accepted relative error
  std::uint64_t seed = 1;   // of the random output gradient
};

// Outcome of a check: converts to true when it passed; `message` says what differed most, for a test's failure text.
struct CheckResult {
  bool passed = true;
  double worst = 0;  // largest relative error seen
  std::string message;
  explicit operator bool() const { return passed; }
};

// Error of a tensor: max|a - b| / max(max|b|, floor). NaN counts as infinite.
FOVEA_API double relative_error(const Tensor& a, const Tensor& b, double floor);

// Compares backward's gradients of `f` in f64 with numeric ones at every element of every input (converted to f64), for
// a random gradient of the output, and checks that a second backward adds exactly as much again. `f` must compute in
// its inputs' type and draw no random numbers that differ between calls.
FOVEA_API CheckResult gradcheck(VarFunction f, std::span<const Tensor> inputs, const GradcheckOptions& options = {});

struct PrecisionOptions {
  double tolerance = 1e-4;  // of the f32 result against the f64 one
  std::uint64_t seed = 1;
};

// Compares value and gradients of `f` in f32, on every instruction set of this machine, with those in f64, which runs
// the plain reference kernels. The floor of the error is 1e-6 for values, and 1e-3 of the largest gradient for
// gradients.
FOVEA_API CheckResult compare_precisions(VarFunction f, std::span<const Tensor> inputs,
                                         const PrecisionOptions& options = {});

// Both checks: the one line that tests an operation.
FOVEA_API CheckResult check_op(VarFunction f, std::span<const Tensor> inputs, const GradcheckOptions& gradient = {},
                               const PrecisionOptions& precision = {});

// Random inputs for checks: standard normal f64 tensors of the given shapes.
FOVEA_API std::vector<Tensor> normal_inputs(std::span<const Shape> shapes, std::uint64_t seed = 1);
inline std::vector<Tensor> normal_inputs(std::initializer_list<Shape> shapes, std::uint64_t seed = 1) {
  return normal_inputs(std::span<const Shape>(shapes.begin(), shapes.size()), seed);
}

// Runs `body` once with each instruction set of this machine active, then restores the one before.
FOVEA_API void for_each_isa(FunctionRef<void(const std::string& isa)> body);

}  // namespace fovea::testing
