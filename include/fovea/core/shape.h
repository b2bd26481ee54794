// Extents of a tensor, row-major.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "fovea/core/error.h"

namespace fovea {

// Up to eight extents, held inline. A rank-0 shape is a scalar with one element.
class Shape {
 public:
  static constexpr int max_rank = 8;

  Shape() = default;
  Shape(std::initializer_list<std::int64_t> dims) : Shape(std::span(dims.begin(), dims.size())) {}
  explicit Shape(std::span<const std::int64_t> dims) {
    for (std::int64_t d : dims) push_back(d);
  }

  int rank() const { return rank_; }
  std::int64_t operator[](int axis) const {
    return dims_[static_cast<std::size_t>(normalize(axis))];
  }  // -1 is the last
  const std::int64_t* begin() const { return dims_.data(); }
  const std::int64_t* end() const { return dims_.data() + rank_; }

  std::int64_t numel() const {
    std::int64_t n = 1;
    for (std::int64_t d : *this) {
      FOVEA_CHECK(!__builtin_mul_overflow(n, d, &n), "[shape] ", *this, " has more elements than can be counted");
    }
    return n;
  }
  // Product of the extents before and after an axis.
  std::int64_t outer(int axis) const {
    std::int64_t n = 1;
    for (int i = 0; i < normalize(axis); ++i) n *= (*this)[i];
    return n;
  }
  std::int64_t inner(int axis) const {
    std::int64_t n = 1;
    for (int i = normalize(axis) + 1; i < rank_; ++i) n *= (*this)[i];
    return n;
  }

  // The axis counted from 0; throws Error when it is out of range.
  int normalize(int axis) const {
    const int a = axis < 0 ? axis + rank_ : axis;
    FOVEA_CHECK(a >= 0 && a < rank_, "[shape] axis ", axis, " is out of range for ", to_string(*this));
    return a;
  }
  void push_back(std::int64_t extent) {
    FOVEA_CHECK(rank_ < max_rank, "[shape] more than ", max_rank, " axes");
    FOVEA_CHECK(extent >= 0, "[shape] negative extent ", extent);
    dims_[static_cast<std::size_t>(rank_++)] = extent;
  }
  void set(int axis, std::int64_t extent) {
    FOVEA_CHECK(extent >= 0, "[shape] negative extent ", extent);
    dims_[static_cast<std::size_t>(normalize(axis))] = extent;
  }

  friend bool operator==(const Shape& a, const Shape& b) {
    if (a.rank_ != b.rank_) return false;
    for (int i = 0; i < a.rank_; ++i) {
      if (a[i] != b[i]) return false;
    }
    return true;
  }
  friend std::string to_string(const Shape& shape) {
    std::string out = "(";
    for (int i = 0; i < shape.rank_; ++i) {
      if (i) out += ", ";
      out += std::to_string(shape.dims_[static_cast<std::size_t>(i)]);
    }
    return out + (shape.rank_ == 1 ? ",)" : ")");
  }

 private:
  std::array<std::int64_t, max_rank> dims_{};
  int rank_ = 0;
};

// Shape of a (op) b by NumPy's rule: aligned at the right, extents equal or 1. Throws Error naming both.
inline Shape broadcast_shapes(const Shape& a, const Shape& b, const char* where) {
  const int rank = a.rank() > b.rank() ? a.rank() : b.rank();
  Shape out;
  for (int i = 0; i < rank; ++i) {
    const int ia = i - (rank - a.rank()), ib = i - (rank - b.rank());
    const std::int64_t da = ia < 0 ? 1 : a[ia], db = ib < 0 ? 1 : b[ib];
    FOVEA_CHECK(da == db || da == 1 || db == 1, "[", where, "] shapes ", a, " and ", b, " do not broadcast");
    out.push_back(da == 1 ? db : da);
  }
  return out;
}

}  // namespace fovea
