#include "io/elements.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

namespace fovea::io::detail {
namespace {

// IEEE half precision to single, exactly.
float widen_half(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 31, mantissa = bits & 1023;
  float magnitude;
  if (exponent == 31) {
    magnitude = mantissa ? std::numeric_limits<float>::quiet_NaN() : std::numeric_limits<float>::infinity();
  } else if (exponent == 0) {
    magnitude = std::ldexp(static_cast<float>(mantissa), -24);
  } else {
    magnitude = std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25);
  }
  return bits & 0x8000 ? -magnitude : magnitude;
}

}  // namespace

std::int64_t byte_count(const Shape& shape, std::int64_t element_bytes) {
  std::int64_t bytes = element_bytes;
  for (std::int64_t extent : shape) {
    if (__builtin_mul_overflow(bytes, extent, &bytes)) return -1;
  }
  return bytes;
}

Tensor read_elements(const Input& input, std::int64_t begin, const Shape& shape, DType dtype, std::int64_t file_bytes) {
  Tensor tensor(shape, dtype);
  const std::int64_t bytes = tensor.numel() * file_bytes;
  if (file_bytes == size_of(dtype)) {
    input.read(begin, tensor.mutable_raw(), bytes);
    return tensor;
  }
  std::vector<std::uint16_t> halves(static_cast<std::size_t>(tensor.numel()));
  input.read(begin, halves.data(), bytes);
  std::transform(halves.begin(), halves.end(), tensor.mutable_data<float>(), widen_half);
  return tensor;
}

Tensor gather(const Tensor& elements, std::int64_t offset, const Shape& shape, const Shape& strides) {
  Tensor out(shape, elements.dtype());
  const auto size = static_cast<std::size_t>(size_of(out.dtype()));
  const auto* from = static_cast<const std::byte*>(elements.raw());
  auto* to = static_cast<std::byte*>(out.mutable_raw());
  std::array<std::int64_t, Shape::max_rank> index{};
  for (std::int64_t i = 0, n = out.numel(); i < n; ++i, to += size) {
    std::memcpy(to, from + static_cast<std::size_t>(offset) * size, size);
    for (int axis = shape.rank() - 1; axis >= 0; --axis) {
      std::int64_t& k = index[static_cast<std::size_t>(axis)];
      offset += strides[axis];
      if (++k < shape[axis]) break;
      offset -= k * strides[axis];
      k = 0;
    }
  }
  return out;
}

}  // namespace fovea::io::detail
