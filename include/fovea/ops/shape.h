// Differentiable rearrangements of tensors.
#pragma once

#include <initializer_list>
#include <span>
#include <vector>

#include "fovea/autograd/saved.h"
#include "fovea/autograd/var.h"
#include "fovea/kernels/copy.h"
#include "fovea/tensor/factory.h"

namespace fovea::ops {

namespace detail {

// The axes of a transpose, with those of extent 1 dropped and neighbours that stay neighbours joined.
inline kernels::Permutation permutation_plan(const Shape& shape, std::span<const int> axes) {
  kernels::Permutation plan;
  int rank = 0;
  for (int axis : axes) {
    const std::int64_t extent = shape[axis], step = shape.inner(axis);
    if (extent == 1) continue;
    if (rank && plan.steps[rank - 1] == extent * step) {
      plan.extents[rank - 1] *= extent;
      plan.steps[rank - 1] = step;
    } else {
      plan.extents[rank] = extent;
      plan.steps[rank++] = step;
    }
  }
  if (rank) plan.rank = rank;
  return plan;
}

inline void permute(const Tensor& x, std::span<const int> axes, Tensor& y, bool accumulate) {
  if (x.numel() == 0) return;
  dispatch_floating(x.dtype(), "transpose", [&]<class T>() {
    kernels::permute(permutation_plan(x.shape(), axes), x.data<T>(), y.mutable_data<T>(), accumulate);
  });
}

// Copies a whole tensor into the part of `y` that begins at `begin` along an axis, or that part into the whole tensor.
enum class Direction { into_part, from_part };
inline void copy_part(Direction direction, const Tensor& from, Tensor& to, int axis, std::int64_t begin,
                      bool accumulate) {
  const Tensor& part = direction == Direction::into_part ? from : to;
  const Tensor& whole = direction == Direction::into_part ? to : from;
  const std::int64_t part_row = part.dim(axis) * part.shape().inner(axis), offset = begin * part.shape().inner(axis);
  const std::int64_t whole_row = whole.dim(axis) * part.shape().inner(axis), rows = part.shape().outer(axis);
  dispatch_floating(from.dtype(), "copy_part", [&]<class T>() {
    if (direction == Direction::into_part) {
      kernels::copy_rows({rows, part_row, part_row, whole_row}, from.data<T>(), to.mutable_data<T>() + offset,
                         accumulate);
    } else {
      kernels::copy_rows({rows, part_row, whole_row, part_row}, from.data<T>() + offset, to.mutable_data<T>(),
                         accumulate);
    }
  });
}

// Throws Error unless the index is (K) i64 with entries of [0, extent).
inline void check_index(const char* name, const Tensor& index, std::int64_t extent) {
  FOVEA_CHECK(index.rank() == 1 && index.dtype() == DType::i64, "[", name, "] index is ", to_string(index.dtype()), " ",
              index.shape(), ", expected i64 (K,)");
  const std::int64_t* values = index.data<std::int64_t>();
  for (std::int64_t i = 0; i < index.numel(); ++i) {
    FOVEA_CHECK(values[i] >= 0 && values[i] < extent, "[", name, "] index ", values[i], " at position ", i,
                " is not in [0, ", extent, ")");
  }
}

inline kernels::RowSelection selection(const Shape& long_side, int axis, const Tensor& index) {
  return {long_side.outer(axis), long_side[axis], long_side.inner(axis), index.data<std::int64_t>(), index.numel()};
}

inline void gather(const Tensor& x, int axis, const Tensor& index, Tensor& out, bool accumulate) {
  dispatch_floating(x.dtype(), "gather", [&]<class T>() {
    kernels::gather(selection(x.shape(), axis, index), x.data<T>(), out.mutable_data<T>(), accumulate);
  });
}

inline void scatter_add(const Tensor& x, int axis, const Tensor& index, Tensor& out) {
  dispatch_floating(x.dtype(), "scatter_add", [&]<class T>() {
    kernels::scatter_add(selection(out.shape(), axis, index), x.data<T>(), out.mutable_data<T>());
  });
}

}  // namespace detail

// The same elements in another shape of as many; a view. Throws Error when the numbers of elements differ.
inline Var reshape(const Var& x, const Shape& shape) {
  Recipe recipe;
  if (x.has_recipe()) recipe = [kept = SavedActivation(x), shape] { return kept.restore().reshape(shape); };
  auto backward = [from = x.shape()](const Tensor& dy, Grads& g) {
    if (g.wants(0)) g.add(0, dy.reshape(from));
  };
  return record("reshape", x.value().reshape(shape), {x}, std::move(backward), std::move(recipe));
}

// Axis i of the result is axis axes[i] of x. Throws Error unless `axes` names every axis once.
inline Var transpose(const Var& x, std::initializer_list<int> axes) {
  FOVEA_CHECK(static_cast<int>(axes.size()) == x.rank(), "[transpose] ", axes.size(), " axes given for ", x.shape());
  std::vector<int> forward, inverse(axes.size(), -1);
  Shape shape;
  for (int axis : axes) {
    const int a = x.shape().normalize(axis);
    FOVEA_CHECK(inverse[static_cast<std::size_t>(a)] < 0, "[transpose] axis ", axis, " is named twice");
    inverse[static_cast<std::size_t>(a)] = static_cast<int>(forward.size());
    forward.push_back(a);
    shape.push_back(x.dim(a));
  }
  Tensor y(shape, x.dtype());
  detail::permute(x.value(), forward, y, false);
  return record("transpose", y, {x}, [inverse](const Tensor& dy, Grads& g) {
    if (!g.wants(0)) return;
    const GradSlot slot = g.into(0);
    detail::permute(dy, inverse, slot.tensor, slot.accumulate);
  });
}

// Joins tensors along an axis. Throws Error when there is none, or when types or other extents differ.
inline Var concat(std::span<const Var> parts, int axis) {
  FOVEA_CHECK(!parts.empty(), "[concat] no tensors to join");
  const Var& first = parts.front();
  const int at = first.shape().normalize(axis);
  Shape shape = first.shape();
  shape.set(at, 0);
  for (const Var& part : parts) {
    Shape joined = part.shape();
    FOVEA_CHECK(joined.rank() == shape.rank(), "[concat] ", part.shape(), " does not fit ", first.shape());
    joined.set(at, shape[at]);
    FOVEA_CHECK(joined == shape, "[concat] ", part.shape(), " does not fit ", first.shape(), " along axis ", axis);
    FOVEA_CHECK(part.dtype() == first.dtype(), "[concat] tensors are ", to_string(first.dtype()), " and ",
                to_string(part.dtype()));
    shape.set(at, shape[at] + part.dim(at));
  }
  Tensor y(shape, first.dtype());
  std::vector<std::int64_t> begins;
  std::int64_t begin = 0;
  for (const Var& part : parts) {
    detail::copy_part(detail::Direction::into_part, part.value(), y, at, begin, false);
    begins.push_back(begin);
    begin += part.dim(at);
  }
  return record("concat", y, parts, [at, begins = std::move(begins)](const Tensor& dy, Grads& g) {
    for (std::size_t i = 0; i < begins.size(); ++i) {
      if (!g.wants(static_cast<int>(i))) continue;
      const GradSlot slot = g.into(static_cast<int>(i));
      detail::copy_part(detail::Direction::from_part, dy, slot.tensor, at, begins[i], slot.accumulate);
    }
  });
}
inline Var concat(std::initializer_list<Var> parts, int axis) {
  return concat(std::span<const Var>(parts.begin(), parts.size()), axis);
}

// Elements [begin, end) along an axis; a view when nothing lies before the axis. Throws Error for a range outside it.
inline Var slice(const Var& x, int axis, std::int64_t begin, std::int64_t end) {
  const int at = x.shape().normalize(axis);
  FOVEA_CHECK(begin >= 0 && begin <= end && end <= x.dim(at), "[slice] [", begin, ", ", end,
              ") is not a range of axis ", axis, " of ", x.shape());
  Tensor y;
  if (at == 0) {
    y = x.value().rows(begin, end);
  } else {
    Shape shape = x.shape();
    shape.set(at, end - begin);
    y = Tensor(shape, x.dtype());
    detail::copy_part(detail::Direction::from_part, x.value(), y, at, begin, false);
  }
  return record("slice", y, {x}, [at, begin](const Tensor& dy, Grads& g) {
    if (!g.wants(0)) return;
    const GradSlot slot = g.into(0);
    if (!slot.accumulate) slot.tensor.fill(0);
    detail::copy_part(detail::Direction::into_part, dy, slot.tensor, at, begin, slot.accumulate);
  });
}

// Cuts an axis into pieces of the given sizes. Throws Error unless the sizes add up to its extent.
inline std::vector<Var> split(const Var& x, std::span<const std::int64_t> sizes, int axis) {
  std::int64_t total = 0;
  for (std::int64_t size : sizes) total += size;
  FOVEA_CHECK(total == x.dim(axis), "[split] sizes add up to ", total, ", axis ", axis, " of ", x.shape(), " has ",
              x.dim(axis));
  std::vector<Var> pieces;
  std::int64_t begin = 0;
  for (std::int64_t size : sizes) {
    pieces.push_back(slice(x, axis, begin, begin + size));
    begin += size;
  }
  return pieces;
}
inline std::vector<Var> split(const Var& x, std::initializer_list<std::int64_t> sizes, int axis) {
  return split(x, std::span<const std::int64_t>(sizes.begin(), sizes.size()), axis);
}

// The entries index[0], index[1], ... along an axis (PyTorch's index_select); `index` is (K) i64, repeats allowed.
// Throws Error for an entry outside the axis.
inline Var gather(const Var& x, int axis, const Tensor& index) {
  const int at = x.shape().normalize(axis);
  detail::check_index("gather", index, x.dim(at));
  Shape shape = x.shape();
  shape.set(at, index.numel());
  Tensor y(shape, x.dtype());
  detail::gather(x.value(), at, index, y, false);
  return record("gather", y, {x}, [at, index = Saved(index)](const Tensor& dy, Grads& g) {
    if (!g.wants(0)) return;
    const GradSlot slot = g.into(0);
    if (!slot.accumulate) slot.tensor.fill(0);
    detail::scatter_add(dy, at, index, slot.tensor);
  });
}

// x with entry i of `source` added at index[i] along an axis (PyTorch's index_add); `index` is (K) i64, repeats add up.
// Throws Error when `source` is not x's shape with extent K on that axis, or for an entry outside the axis.
inline Var scatter_add(const Var& x, int axis, const Tensor& index, const Var& source) {
  const int at = x.shape().normalize(axis);
  detail::check_index("scatter_add", index, x.dim(at));
  Shape expected = x.shape();
  expected.set(at, index.numel());
  FOVEA_CHECK(source.shape() == expected && source.dtype() == x.dtype(), "[scatter_add] source is ",
              to_string(source.dtype()), " ", source.shape(), ", expected ", to_string(x.dtype()), " ", expected);
  Tensor y = x.value().clone();
  detail::scatter_add(source.value(), at, index, y);
  return record("scatter_add", y, {x, source}, [at, index = Saved(index)](const Tensor& dy, Grads& g) {
    if (g.wants(0)) g.add(0, dy);
    if (!g.wants(1)) return;
    const GradSlot slot = g.into(1);
    detail::gather(dy, at, index, slot.tensor, slot.accumulate);
  });
}

}  // namespace fovea::ops
