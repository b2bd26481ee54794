// Elements of tensors as files hold them. Private to the sources.
#pragma once

#include <bit>
#include <cstdint>

#include "fovea/tensor/tensor.h"
#include "io/input.h"

namespace fovea::io::detail {

static_assert(std::endian::native == std::endian::little, "elements are copied as they lie in the file");

// Bytes of a shape's elements, or -1 when their number overflows.
std::int64_t byte_count(const Shape& shape, std::int64_t element_bytes);

// The elements that lie at `begin`, row after row. In the file an element has `file_bytes`: the size of the type, or 2
// when halves are widened to f32.
Tensor read_elements(const Input& input, std::int64_t begin, const Shape& shape, DType dtype, std::int64_t file_bytes);

// Copies a view of a tensor's elements, row after row; offset and strides are counted in elements and lie inside.
Tensor gather(const Tensor& elements, std::int64_t offset, const Shape& shape, const Shape& strides);

}  // namespace fovea::io::detail
