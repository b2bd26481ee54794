// Numbers that tests/golden/make_efficientnet_golden.py computes too, so that golden files need not hold them.
#pragma once

#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "fovea/core/rng.h"
#include "fovea/tensor/tensor.h"

namespace fovea::tests {

// Number i of [0, 1) by a name, 24 bits of it.
inline double formula_number(std::string_view name, std::int64_t i) {
  std::uint64_t z = static_cast<std::uint64_t>(i) * 0x9E3779B97F4A7C15u + hash_name(name);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  z ^= z >> 31;
  return static_cast<double>(z >> 40) * 0x1p-24;
}

// A tensor of a model, as its file holds it: filters of unit gain, gains and variances around 1, small biases and
// means. Blocks end in gains that keep f32 close to f64 through all of them.
inline Tensor formula_tensor(const std::string& name, const Shape& shape, bool training) {
  Tensor tensor(shape, DType::f32);
  auto* out = tensor.mutable_data<float>();
  const bool last = name.ends_with("project_bn.weight");  // of a block
  const bool positive = name.ends_with("running_var") || name.ends_with(".weight");
  const double spread = shape.rank() == 4 ? std::sqrt(6.0 / static_cast<double>(shape[1] * shape[2] * shape[3])) : 0;
  for (std::int64_t i = 0; i < tensor.numel(); ++i) {
    const double u = formula_number(name, i);
    out[i] = static_cast<float>(shape.rank() == 4 ? (2 * u - 1) * spread
                                : last            ? (training ? 2 + u : 0.1 + 0.3 * u)
                                : positive        ? 0.5 + u
                                                  : 0.4 * u - 0.2);
  }
  return tensor;
}

// Coarse colour fields under noise: (N, 3, S, S).
inline Tensor formula_pictures(std::int64_t count, std::int64_t side) {
  constexpr std::int64_t cells = 4;
  Tensor pictures({count, 3, side, side}, DType::f32);
  auto* out = pictures.mutable_data<float>();
  for (std::int64_t i = 0; i < pictures.numel(); ++i) {
    const std::int64_t x = i % side * cells / side, y = i / side % side * cells / side, plane = i / (side * side);
    const double coarse = 4 * formula_number("coarse", (plane * cells + y) * cells + x) - 2;
    out[i] = static_cast<float>(coarse + 0.3 * (2 * formula_number("fine", i) - 1));
  }
  return pictures;
}

// What a golden file keeps of a tensor: some elements, its sum and a weighted sum.
struct Digest {
  std::vector<double> samples;
  double sum = 0, weighted = 0, magnitude = 0, spread = 0;

  Digest(const std::string& name, const Tensor& tensor, std::int64_t sample_count) {
    const std::int64_t n = tensor.numel();
    for (std::int64_t i = 0; i < sample_count; ++i) {
      samples.push_back(
          tensor.at(static_cast<std::int64_t>(formula_number("places." + name, i) * static_cast<double>(n))));
    }
    for (std::int64_t i = 0; i < n; ++i) {
      const double value = tensor.at(i);
      sum += value;
      weighted += value * (2 * formula_number("weights." + name, i) - 1);
      magnitude = std::fmax(magnitude, std::fabs(value));
    }
    spread = std::sqrt(static_cast<double>(n));
  }
};

}  // namespace fovea::tests
