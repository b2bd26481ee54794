// Tensors of different shapes in one computation: what elementwise operations and reductions share.
#pragma once

#include <vector>

#include "fovea/autograd/var.h"
#include "fovea/kernels/elementwise.h"
#include "fovea/kernels/elementwise_reference.h"
#include "fovea/kernels/reduce.h"
#include "fovea/kernels/reduce_reference.h"

namespace fovea::ops::detail {

// Dense step of an operand along an axis of the result it is repeated to.
inline std::int64_t broadcast_step(const Shape& operand, const Shape& result, int axis) {
  const int own = axis - (result.rank() - operand.rank());
  return own < 0 || operand[own] == 1 ? 0 : operand.inner(own);
}

// The plan with the fewest axes: those of extent 1 are dropped, and neighbours that act as one are joined.
inline kernels::Broadcast broadcast_plan(const Shape& result, const Shape& a, const Shape& b) {
  kernels::Broadcast plan;
  int rank = 0;
  for (int i = 0; i < result.rank(); ++i) {
    if (result[i] == 1) continue;
    const kernels::Broadcast::Axis axis{result[i], broadcast_step(a, result, i), broadcast_step(b, result, i)};
    kernels::Broadcast::Axis* last = rank ? &plan.axes[rank - 1] : nullptr;
    if (last && last->a_step == axis.extent * axis.a_step && last->b_step == axis.extent * axis.b_step) {
      *last = {last->extent * axis.extent, axis.a_step, axis.b_step};
    } else {
      plan.axes[rank++] = axis;
    }
  }
  if (rank) plan.rank = rank;
  return plan;
}

// y (shape) (+)= a (kind) b.
template <class T>
void combine(kernels::Binary kind, const Shape& shape, const Tensor& a, const Tensor& b, T* y, bool accumulate) {
  if (shape.numel() == 0) return;
  const kernels::Broadcast plan = broadcast_plan(shape, a.shape(), b.shape());
  if constexpr (std::is_same_v<T, float>) {
    kernels::binary_f32(kind, plan, a.data<T>(), b.data<T>(), y, accumulate);
  } else {
    kernels::binary_reference(kind, plan, a.data<T>(), b.data<T>(), y, accumulate);
  }
}

// y (+)= scale x + shift.
template <class T>
void affine(const Tensor& x, double scale, double shift, T* y, bool accumulate) {
  if constexpr (std::is_same_v<T, float>) {
    kernels::affine_f32(x.data<T>(), x.numel(), scale, shift, y, accumulate);
  } else {
    kernels::affine_reference(x.data<T>(), x.numel(), scale, shift, y, accumulate);
  }
}

template <class T>
void sum_axis(const T* x, const T* z, std::int64_t outer, std::int64_t count, std::int64_t inner, T* out,
              bool accumulate) {
  if constexpr (!std::is_same_v<T, float>) {
    kernels::sum_axis_reference(x, z, outer, count, inner, out, accumulate);
  } else if (z) {
    kernels::dot_axis_f32(x, z, outer, count, inner, out, accumulate);
  } else {
    kernels::sum_axis_f32(x, outer, count, inner, out, accumulate);
  }
}

struct FoldStep {
  std::int64_t outer, count, inner;
};

// Reducing `from` to `to` (equal extents, or 1 where it is reduced; aligned at the right) as reductions of one axis
// each, the last axis first. At least one step.
inline std::vector<FoldStep> fold_steps(const Shape& from, const Shape& to) {
  std::vector<FoldStep> steps;
  std::int64_t kept = 1;  // numbers behind the axis that stay
  for (int i = from.rank() - 1; i >= 0; --i) {
    const int own = i - (from.rank() - to.rank());
    const bool reduced = from[i] != 1 && (own < 0 || to[own] == 1);
    if (!reduced) {
      kept *= from[i];
    } else if (!steps.empty() && steps.back().inner == kept) {
      steps.back().outer = from.outer(i);
      steps.back().count *= from[i];
    } else {
      steps.push_back({from.outer(i), from[i], kept});
    }
  }
  if (steps.empty()) steps.push_back({1, 1, kept});
  return steps;
}

// Calls fold(x, step, out, last) for every step, through temporaries; the last one gets `out`.
template <class T, class Fold>
void run_folds(const T* x, const Shape& from, const Shape& to, T* out, Fold&& fold) {
  const std::vector<FoldStep> steps = fold_steps(from, to);
  Tensor held;
  for (const FoldStep& step : steps) {
    const bool last = &step == &steps.back();
    Tensor next = last ? Tensor() : Tensor({step.outer * step.inner}, dtype_of<T>());
    T* target = last ? out : next.mutable_data<T>();
    fold(x, step, target, last);
    held = next;
    x = target;
  }
}

// out (to) (+)= sum over the axes where `to` has 1, of x, or of x z where z is given.
template <class T>
void sum_to(const T* x, const T* z, const Shape& from, const Shape& to, T* out, bool accumulate) {
  run_folds(x, from, to, out, [&](const T* source, const FoldStep& step, T* target, bool last) {
    sum_axis(source, z, step.outer, step.count, step.inner, target, last && accumulate);
    z = nullptr;
  });
}

// The gradient of an operand that may have been repeated: slot (+)= sum over the repeats of dy (kind) other.
template <class T>
void chain(kernels::Binary kind, const Tensor& dy, const Tensor& other, const GradSlot& slot) {
  const Shape& to = slot.tensor.shape();
  if (to == dy.shape()) return combine<T>(kind, to, dy, other, slot.data<T>(), slot.accumulate);
  if (kind == kernels::Binary::mul && other.shape() == dy.shape()) {
    return sum_to(dy.data<T>(), other.data<T>(), dy.shape(), to, slot.data<T>(), slot.accumulate);
  }
  Tensor terms(dy.shape(), dy.dtype());
  combine<T>(kind, dy.shape(), dy, other, terms.mutable_data<T>(), false);
  sum_to<T>(terms.data<T>(), nullptr, dy.shape(), to, slot.data<T>(), slot.accumulate);
}

}  // namespace fovea::ops::detail
