// Initial values of parameters.
#pragma once

#include <cmath>
#include <cstdint>

#include "fovea/core/rng.h"
#include "fovea/nn/param.h"
#include "fovea/tensor/factory.h"

namespace fovea::nn {

// Handed through the constructors of a model's modules. The numbers depend on the seed and on the order of
// construction.
class Init {
 public:
  explicit Init(std::uint64_t seed, DType dtype = DType::f32) : key_(RngKey{seed}.derive("init")), dtype_(dtype) {}

  // Leaves random parameters uninitialised: for models whose values are read from a file or copied.
  static Init none(DType dtype = DType::f32) {
    Init init(0, dtype);
    init.random_ = false;
    return init;
  }

  DType dtype() const { return dtype_; }
  Tensor normal(Shape shape, double stddev) {
    return random_ ? random_normal(shape, next_key(), 0, stddev, dtype_) : Tensor(shape, dtype_);
  }
  // Cut off at two standard deviations of what is drawn; `stddev` is that of the result, as in JAX's
  // variance_scaling(..., "truncated_normal").
  Tensor truncated_normal(Shape shape, double stddev) {
    return random_ ? random_truncated_normal(shape, next_key(), stddev, dtype_) : Tensor(shape, dtype_);
  }
  Tensor uniform(Shape shape, double bound) {
    return random_ ? random_uniform(shape, next_key(), -bound, bound, dtype_) : Tensor(shape, dtype_);
  }
  Tensor constant(Shape shape, double value) { return full(shape, value, dtype_); }

  // PyTorch's default for linear and convolution weights: Kaiming-uniform with a = sqrt 5, so a bound of
  // 1/sqrt(fan_in).
  Tensor linear_default(Shape shape) { return uniform(shape, 1 / std::sqrt(static_cast<double>(shape.inner(0)))); }
  // He et al. 2015, eq. 10, for ReLU networks: N(0, 2 / fan_out) of a convolution weight (O, KH, KW, I).
  Tensor he_fan_out(Shape shape) {
    return normal(shape, std::sqrt(2.0 / static_cast<double>(shape[0] * shape[1] * shape[2])));
  }
  // Glorot & Bengio 2010: uniform with bound sqrt(6 / (fan_in + fan_out)) of an (out, in) matrix.
  Tensor xavier_uniform(Shape shape) {
    return uniform(shape, std::sqrt(6.0 / static_cast<double>(shape[0] + shape[1])));
  }

 private:
  RngKey next_key() { return key_.derive(count_++); }

  RngKey key_;
  DType dtype_;
  std::uint64_t count_ = 0;
  bool random_ = true;
};

}  // namespace fovea::nn
