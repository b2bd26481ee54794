#include "fovea/tensor/tensor.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "fovea/tensor/factory.h"
#include "fovea/tensor/print.h"
#include "fovea/tensor/reduce.h"

namespace fovea {
namespace {

template <class F>
decltype(auto) with_typed(DType dtype, const void* raw, F&& f) {
  switch (dtype) {
    case DType::f64: return f(static_cast<const double*>(raw));
    case DType::bf16: return f(static_cast<const bfloat16*>(raw));
    case DType::i32: return f(static_cast<const std::int32_t*>(raw));
    case DType::i64: return f(static_cast<const std::int64_t*>(raw));
    case DType::u8: return f(static_cast<const std::uint8_t*>(raw));
    default: return f(static_cast<const float*>(raw));
  }
}
// Calls f with the tensor's first element as a typed pointer. Throws Error when it is undefined.
template <class F>
decltype(auto) with_elements(const Tensor& tensor, F&& f) {
  FOVEA_CHECK(tensor.defined(), "[tensor] undefined tensor used");
  return with_typed(tensor.dtype(), tensor.raw(), f);
}
template <class F>
decltype(auto) with_mutable_elements(Tensor& tensor, F&& f) {
  FOVEA_CHECK(tensor.defined(), "[tensor] undefined tensor written to");
  return with_typed(tensor.dtype(), tensor.mutable_raw(), [&](auto* p) {
    return f(const_cast<std::remove_const_t<std::remove_pointer_t<decltype(p)>>*>(p));
  });
}

template <class To, class From>
To convert(From value) {
  if constexpr (std::is_same_v<To, From>) {
    return value;
  } else if constexpr (std::is_same_v<From, bfloat16>) {
    return convert<To>(static_cast<float>(value));
  } else if constexpr (std::is_same_v<To, bfloat16>) {
    return bfloat16(static_cast<float>(value));
  } else {
    return static_cast<To>(value);
  }
}

std::size_t byte_count(const Shape& shape, DType dtype) {
  std::int64_t count = 0;
  FOVEA_CHECK(!__builtin_mul_overflow(shape.numel(), size_of(dtype), &count), "[tensor] ", shape, " of ",
              to_string(dtype), " has more bytes than can be addressed");
  return static_cast<std::size_t>(count);
}

}  // namespace

Tensor::Tensor(Shape shape, DType dtype)
    : storage_(std::make_shared<Storage>(byte_count(shape, dtype))),
      version_(std::make_shared<VersionCounter>()),
      shape_(shape),
      dtype_(dtype) {}

Tensor Tensor::reshape(Shape shape) const {
  FOVEA_CHECK(defined(), "[reshape] undefined tensor reshaped to ", shape);
  FOVEA_CHECK(shape.numel() == numel(), "[reshape] ", shape_, " has ", numel(), " elements, ", shape, " needs ",
              shape.numel());
  Tensor view = *this;
  view.shape_ = shape;
  return view;
}

Tensor Tensor::rows(std::int64_t begin, std::int64_t end) const {
  FOVEA_CHECK(rank() >= 1 && begin >= 0 && begin <= end && end <= dim(0), "[rows] [", begin, ", ", end,
              ") is not a range of the first axis of ", shape_);
  Tensor view = *this;
  view.offset_ += begin * shape_.inner(0) * size_of(dtype_);
  view.shape_.set(0, end - begin);
  return view;
}

Tensor Tensor::segment(std::int64_t begin, Shape shape) const {
  FOVEA_CHECK(begin >= 0 && begin <= numel() - shape.numel(), "[segment] ", shape, " at ", begin, " does not fit ",
              shape_);
  Tensor view = *this;
  view.offset_ += begin * size_of(dtype_);
  view.shape_ = shape;
  view.version_ = std::make_shared<VersionCounter>();
  return view;
}

Tensor Tensor::clone() const {
  if (!defined()) return {};
  Tensor copy(shape_, dtype_);
  std::memcpy(copy.mutable_raw(), raw(), static_cast<std::size_t>(bytes()));
  return copy;
}

Tensor Tensor::to(DType dtype) const {
  if (dtype == dtype_) return *this;
  Tensor out(shape_, dtype);
  out.copy_from(*this);
  return out;
}

void Tensor::copy_from(const Tensor& source) {
  FOVEA_CHECK(defined() && source.defined(), "[copy_from] undefined ", defined() ? "source" : "destination");
  FOVEA_CHECK(source.shape_ == shape_, "[copy_from] source is ", source.shape_, ", destination ", shape_);
  const std::int64_t n = numel();
  if (dtype_ == source.dtype_) {
    std::memmove(mutable_raw(), source.raw(), static_cast<std::size_t>(bytes()));  // they may be views of one tensor
    return;
  }
  with_elements(source, [&](const auto* from) {
    with_mutable_elements(*this, [&](auto* to) {
      using To = std::remove_pointer_t<decltype(to)>;
      for (std::int64_t i = 0; i < n; ++i) to[i] = convert<To>(from[i]);
    });
  });
}

void Tensor::fill(double value) {
  const std::int64_t n = numel();
  with_mutable_elements(*this,
                        [&](auto* p) { std::fill(p, p + n, convert<std::remove_pointer_t<decltype(p)>>(value)); });
}

double Tensor::at(std::int64_t i) const {
  FOVEA_CHECK(defined() && i >= 0 && i < numel(), "[at] element ", i, " of ", shape_);
  return with_elements(*this, [i](const auto* p) { return convert<double>(p[i]); });
}

double Tensor::item() const {
  FOVEA_CHECK(defined() && numel() == 1, "[item] expects exactly one element, tensor is ", shape_);
  return at(0);
}

Tensor full(Shape shape, double value, DType dtype) {
  Tensor out(shape, dtype);
  out.fill(value);
  return out;
}

Tensor arange(std::int64_t n, DType dtype) {
  Tensor out({n}, dtype);
  with_mutable_elements(out, [n](auto* p) {
    for (std::int64_t i = 0; i < n; ++i) p[i] = convert<std::remove_pointer_t<decltype(p)>>(i);
  });
  return out;
}

namespace {
template <class Draw>
Tensor random_tensor(Shape shape, DType dtype, Draw draw) {
  Tensor out(shape, dtype);
  const std::int64_t n = out.numel();
  with_mutable_elements(out, [&](auto* p) {
    for (std::int64_t i = 0; i < n; ++i) p[i] = convert<std::remove_pointer_t<decltype(p)>>(draw(i));
  });
  return out;
}
double normal_from_bits(const std::array<std::uint32_t, 4>& bits) {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform_from_bits(bits[0])));
  return radius * std::cos(6.283185307179586 * uniform_from_bits(bits[1]));
}

}  // namespace

Tensor random_normal(Shape shape, RngKey key, double mean, double stddev, DType dtype) {
  return random_tensor(shape, dtype, [=](std::int64_t i) {
    return mean + stddev * normal_from_bits(philox(key, static_cast<std::uint64_t>(i)));
  });
}

Tensor random_truncated_normal(Shape shape, RngKey key, double stddev, DType dtype) {
  constexpr double spread = 0.87962566103423978;  // of a standard normal between -2 and 2
  return random_tensor(shape, dtype, [=](std::int64_t i) {
    double x = 3;
    for (std::uint64_t draw = 0; std::fabs(x) > 2; ++draw)
      x = normal_from_bits(philox(key, static_cast<std::uint64_t>(i), draw));
    return stddev / spread * x;
  });
}

Tensor random_uniform(Shape shape, RngKey key, double low, double high, DType dtype) {
  return random_tensor(shape, dtype, [=](std::int64_t i) {
    return low + (high - low) * uniform_from_bits(philox(key, static_cast<std::uint64_t>(i))[0]);
  });
}

std::string to_string(const Tensor& tensor) {
  if (!tensor.defined()) return "undefined";
  constexpr std::int64_t shown = 8;
  const std::int64_t n = tensor.numel();
  std::string out = to_string(tensor.dtype()) + " " + to_string(tensor.shape()) + " [";
  for (std::int64_t i = 0; i < n; ++i) {
    if (n > 2 * shown && i == shown) {
      out += ", ...";
      i = n - shown;
    }
    if (i) out += ", ";
    detail::append(out, tensor.at(i));
  }
  return out + "]";
}

bool all_finite(const Tensor& x) {
  return with_elements(x, [&](const auto* p) {
    for (std::int64_t i = 0; i < x.numel(); ++i) {
      if (!std::isfinite(convert<double>(p[i]))) return false;
    }
    return true;
  });
}

double max_abs(const Tensor& x) {
  return with_elements(x, [&](const auto* p) {
    double largest = 0;
    for (std::int64_t i = 0; i < x.numel(); ++i) {
      const double v = std::abs(convert<double>(p[i]));
      if (v > largest || std::isnan(v)) largest = v;  // a NaN is kept, as nothing compares greater
    }
    return largest;
  });
}

double max_abs_difference(const Tensor& a, const Tensor& b) {
  FOVEA_CHECK(a.shape() == b.shape(), "[max_abs_difference] shapes ", a.shape(), " and ", b.shape());
  double largest = 0;
  for (std::int64_t i = 0; i < a.numel(); ++i) {
    const double v = std::abs(a.at(i) - b.at(i));
    if (v > largest || std::isnan(v)) largest = v;
  }
  return largest;
}

double sum(const Tensor& x) {
  double total = 0;
  for (std::int64_t i = 0; i < x.numel(); ++i) total += x.at(i);
  return total;
}

std::int64_t count_different_bits(const Tensor& a, const Tensor& b) {
  FOVEA_CHECK(a.defined() && b.defined(), "[count_different_bits] undefined tensor");
  FOVEA_CHECK(a.shape() == b.shape() && a.dtype() == b.dtype(), "[count_different_bits] ", to_string(a.dtype()), " ",
              a.shape(), " and ", to_string(b.dtype()), " ", b.shape());
  const auto size = static_cast<std::size_t>(size_of(a.dtype()));
  const auto* pa = static_cast<const std::byte*>(a.raw());
  const auto* pb = static_cast<const std::byte*>(b.raw());
  std::int64_t count = 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(a.bytes()); i += size)
    count += std::memcmp(pa + i, pb + i, size) != 0;
  return count;
}

}  // namespace fovea
