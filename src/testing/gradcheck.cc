#include "fovea/testing/gradcheck.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "fovea/autograd/backward.h"
#include "fovea/autograd/no_grad.h"
#include "fovea/core/cpu.h"
#include "fovea/tensor/factory.h"
#include "fovea/tensor/reduce.h"

namespace fovea::testing {
namespace {

std::vector<Var> make_leaves(std::span<const Tensor> inputs, DType dtype) {
  std::vector<Var> leaves;
  for (const Tensor& input : inputs) leaves.emplace_back(input.to(dtype).clone(), true);
  return leaves;
}

// The gradient of the output that all passes of one check share.
Tensor output_gradient(const Shape& shape, std::uint64_t seed, DType dtype) {
  return random_normal(shape, RngKey{seed}.derive("output_gradient"), 0, 1, DType::f64).to(dtype);
}

double dot(const Tensor& a, const Tensor& b) {
  double total = 0;
  for (std::int64_t i = 0; i < a.numel(); ++i) total += a.at(i) * b.at(i);
  return total;
}

Tensor gradient_or_zeros(const Var& leaf) {
  const Tensor gradient = leaf.grad();
  return gradient.defined() ? gradient : zeros(leaf.shape(), leaf.dtype());
}

double largest(std::span<const Tensor> tensors) {
  double value = 0;
  for (const Tensor& t : tensors) value = std::max(value, max_abs(t));
  return value;
}

void report(CheckResult& result, double error, double tolerance, const std::string& what) {
  if (error > result.worst || result.message.empty()) {
    result.worst = error;
    result.message = concat(what, ": relative error ", error, ", tolerance ", tolerance);
  }
  if (!(error <= tolerance)) result.passed = false;
}

// The derivative of <dy, f> with respect to one element, by the 4-point stencil (error of order step^4).
double numeric_derivative(VarFunction f, std::vector<Var>& leaves, std::size_t input, std::int64_t element,
                          const Tensor& dy, double step) {
  Tensor value = leaves[input].value();
  double* x = value.mutable_data<double>() + element;
  const double centre = *x;
  const auto at = [&](double offset) {
    *x = centre + offset;
    return dot(f(leaves).value(), dy);
  };
  const double derivative = (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step);
  *x = centre;
  return derivative;
}

}  // namespace

double relative_error(const Tensor& a, const Tensor& b, double floor) {
  const double difference = max_abs_difference(a, b);
  if (std::isnan(difference)) return std::numeric_limits<double>::infinity();
  return difference / std::max({max_abs(b), floor, std::numeric_limits<double>::min()});
}

CheckResult gradcheck(VarFunction f, std::span<const Tensor> inputs, const GradcheckOptions& options) {
  std::vector<Var> leaves = make_leaves(inputs, DType::f64);
  const Var y = f(leaves);
  FOVEA_CHECK(y.dtype() == DType::f64, "[gradcheck] the function returned ", to_string(y.dtype()), " for f64 inputs");
  const Tensor dy = output_gradient(y.shape(), options.seed, DType::f64);
  backward(y, dy.clone());
  std::vector<Tensor> gradients;
  for (const Var& leaf : leaves) gradients.push_back(gradient_or_zeros(leaf).clone());

  CheckResult result;
  backward(f(leaves), dy.clone());
  for (std::size_t i = 0; i < leaves.size(); ++i) {
    Tensor twice = gradients[i].clone();
    for (std::int64_t j = 0; j < twice.numel(); ++j) twice.mutable_data<double>()[j] *= 2;
    report(result, relative_error(gradient_or_zeros(leaves[i]), twice, 1e-3 * largest(gradients)), 1e-12,
           concat("accumulated gradient of input ", i));
  }

  const NoGrad nothing_is_recorded;
  std::vector<Tensor> numeric;
  for (std::size_t i = 0; i < leaves.size(); ++i) {
    Tensor gradient(leaves[i].shape(), DType::f64);
    double* g = gradient.mutable_data<double>();
    for (std::int64_t j = 0; j < gradient.numel(); ++j) g[j] = numeric_derivative(f, leaves, i, j, dy, options.step);
    numeric.push_back(gradient);
  }
  for (std::size_t i = 0; i < leaves.size(); ++i) {
    report(result, relative_error(gradients[i], numeric[i], 1e-3 * largest(numeric)), options.tolerance,
           concat("gradient of input ", i, " ", leaves[i].shape()));
  }
  return result;
}

CheckResult compare_precisions(VarFunction f, std::span<const Tensor> inputs, const PrecisionOptions& options) {
  const std::vector<Var> exact = make_leaves(inputs, DType::f64);
  const Var y = f(exact);
  if (y.requires_grad()) backward(y, output_gradient(y.shape(), options.seed, DType::f64));
  std::vector<Tensor> gradients;
  for (const Var& leaf : exact) gradients.push_back(gradient_or_zeros(leaf));
  const double gradient_floor = 1e-3 * largest(gradients);

  CheckResult result;
  for_each_isa([&](const std::string& isa) {
    const std::vector<Var> leaves = make_leaves(inputs, DType::f32);
    const Var y32 = f(leaves);
    FOVEA_CHECK(y32.dtype() == DType::f32, "[compare_precisions] the function returned ", to_string(y32.dtype()),
                " for f32 inputs");
    report(result, relative_error(y32.value(), y.value(), 1e-6), options.tolerance, isa + ": value");
    if (y32.requires_grad()) backward(y32, output_gradient(y.shape(), options.seed, DType::f32));
    for (std::size_t i = 0; i < leaves.size(); ++i) {
      report(result, relative_error(gradient_or_zeros(leaves[i]), gradients[i], gradient_floor), options.tolerance,
             concat(isa, ": gradient of input ", i));
    }
  });
  return result;
}

CheckResult check_op(VarFunction f, std::span<const Tensor> inputs, const GradcheckOptions& gradient,
                     const PrecisionOptions& precision) {
  const CheckResult result = gradcheck(f, inputs, gradient);
  return result ? compare_precisions(f, inputs, precision) : result;
}

std::vector<Tensor> normal_inputs(std::span<const Shape> shapes, std::uint64_t seed) {
  std::vector<Tensor> inputs;
  for (const Shape& shape : shapes) {
    inputs.push_back(random_normal(shape, RngKey{seed}.derive(inputs.size()), 0, 1, DType::f64));
  }
  return inputs;
}

void for_each_isa(FunctionRef<void(const std::string& isa)> body) {
  const struct Restore {
    cpu::Isa isa = cpu::active_isa();
    ~Restore() { cpu::set_max_isa(isa); }
  } restore;
  for (cpu::Isa isa : cpu::available_isas()) {
    cpu::set_max_isa(isa);
    body(cpu::to_string(isa));
  }
}

}  // namespace fovea::testing
