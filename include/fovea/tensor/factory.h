// Tensors from values, constants and random numbers.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

#include "fovea/core/rng.h"
#include "fovea/tensor/tensor.h"

namespace fovea {

FOVEA_API Tensor full(Shape shape, double value, DType dtype = DType::f32);
inline Tensor zeros(Shape shape, DType dtype = DType::f32) { return full(std::move(shape), 0, dtype); }
inline Tensor ones(Shape shape, DType dtype = DType::f32) { return full(std::move(shape), 1, dtype); }
inline Tensor scalar(double value, DType dtype = DType::f32) { return full({}, value, dtype); }

// The values in row-major order. Throws Error unless their number fits the shape.
template <class T>
Tensor from_span(Shape shape, std::span<const T> values) {
  FOVEA_CHECK(shape.numel() == static_cast<std::int64_t>(values.size()), "[from_values] ", values.size(),
              " values do not fill ", shape);
  Tensor out(shape, dtype_of<T>());
  if (!values.empty()) std::memcpy(out.mutable_raw(), values.data(), values.size_bytes());
  return out;
}
template <class T>
Tensor from_values(Shape shape, const std::vector<T>& values) {
  return from_span<T>(std::move(shape), values);
}
template <class T>
Tensor from_values(Shape shape, std::initializer_list<T> values) {
  return from_span<T>(std::move(shape), std::span<const T>(values.begin(), values.size()));
}

FOVEA_API Tensor arange(std::int64_t n, DType dtype = DType::i64);
// Element i depends on the key and i alone.
FOVEA_API Tensor random_normal(Shape shape, RngKey key, double mean = 0, double stddev = 1, DType dtype = DType::f32);
// Without what is more than two standard deviations away; `stddev` is that of what remains.
FOVEA_API Tensor random_truncated_normal(Shape shape, RngKey key, double stddev = 1, DType dtype = DType::f32);
FOVEA_API Tensor random_uniform(Shape shape, RngKey key, double low = 0, double high = 1, DType dtype = DType::f32);

}  // namespace fovea
