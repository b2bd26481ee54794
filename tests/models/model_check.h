// What the tests of models share: tiny inputs, and gradients of whole models.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "fovea/autograd/backward.h"
#include "fovea/autograd/no_grad.h"
#include "fovea/data/batch.h"
#include "fovea/nn/visit.h"
#include "fovea/tensor/factory.h"
#include "fovea/tensor/reduce.h"
#include "fovea/testing/gradcheck.h"

namespace fovea::testing {

// Token ids, one caption after another.
inline data::Batch captions(const std::vector<std::vector<std::int32_t>>& each) {
  std::vector<std::int32_t> ids;
  std::vector<std::int64_t> lengths;
  for (const auto& caption : each) {
    ids.insert(ids.end(), caption.begin(), caption.end());
    lengths.push_back(static_cast<std::int64_t>(caption.size()));
  }
  data::Batch batch;
  batch.tokens = from_values<std::int32_t>({static_cast<std::int64_t>(ids.size())}, ids);
  batch.text = PackedLayout::from_lengths(lengths);
  return batch;
}

inline Tensor random_images(std::int64_t count, std::int64_t side, std::uint64_t seed = 9) {
  return normal_inputs({{count, side, side, 3}}, seed)[0];
}

// Moves gains, biases and running statistics off their initial zeros and ones, which hide errors.
inline void perturb(const std::vector<nn::ParamEntry>& entries) {
  std::uint64_t seed = 0;
  for (const nn::ParamEntry& entry : entries) {
    Tensor value = entry.value();
    if (value.rank() > 1) continue;
    const Tensor change = random_uniform(value.shape(), RngKey{++seed}, -0.4, 0.4, DType::f64);
    auto* x = value.mutable_data<double>();
    for (std::int64_t i = 0; i < value.numel(); ++i) x[i] += change.at(i);
  }
}

// Compares the derivative of the scalar loss() along one random direction of each parameter with the numeric one, in
// f64. A wrong gradient has a wrong derivative along almost every direction, so four evaluations per parameter do.
template <class LossFunction>
CheckResult check_gradients(const std::vector<nn::ParamEntry>& entries, const LossFunction& loss, double step = 1e-5) {
  constexpr double tolerance = 1e-6;
  backward(loss());
  std::vector<double> ours, numeric;
  std::vector<std::string> names;
  for (const nn::ParamEntry& entry : entries) {
    if (entry.leaf->is_buffer()) continue;
    const Tensor gradient = entry.grad();
    const Tensor direction = random_normal(entry.value().shape(), RngKey{names.size()}, 0, 1, DType::f64);
    Tensor value = entry.value();
    const Tensor centre = value.clone();
    const auto at = [&](double offset) {
      const NoGrad nothing_is_recorded;
      auto* x = value.mutable_data<double>();
      for (std::int64_t i = 0; i < value.numel(); ++i) x[i] = centre.at(i) + offset * direction.at(i);
      return loss().item();
    };
    numeric.push_back((8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step));
    value.copy_from(centre);
    double along = 0;
    for (std::int64_t i = 0; gradient.defined() && i < value.numel(); ++i) along += gradient.at(i) * direction.at(i);
    ours.push_back(along);
    names.push_back(entry.path);
  }
  double largest = 0;
  for (double derivative : numeric) largest = std::max(largest, std::abs(derivative));
  CheckResult result;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const double error = std::abs(ours[i] - numeric[i]) / std::max(std::abs(numeric[i]), 1e-3 * largest);
    if (error <= result.worst) continue;
    result.worst = error;
    result.passed = error <= tolerance;
    result.message = concat(names[i], ": derivative ", ours[i], ", numeric ", numeric[i]);
  }
  if (!(largest > 0)) result.passed = false;
  return result;
}

inline std::vector<std::string> paths_of(const std::vector<nn::ParamEntry>& entries) {
  std::vector<std::string> paths;
  for (const nn::ParamEntry& entry : entries) paths.push_back(entry.path);
  return paths;
}

}  // namespace fovea::testing
