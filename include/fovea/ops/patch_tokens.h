// From a patch grid to the token sequence of a vision transformer.
#pragma once

#include "fovea/autograd/saved.h"
#include "fovea/autograd/var.h"
#include "fovea/core/parallel.h"

namespace fovea::ops {

namespace detail {

// out (L, D) (+)= sum over n of x (N, L, D).
template <class T>
void sum_over_batch(const T* x, std::int64_t n, std::int64_t row, T* out, bool accumulate) {
  parallel_for(row, 4096, [=](std::int64_t begin, std::int64_t end) {
    if (!accumulate) {
      for (std::int64_t j = begin; j < end; ++j) out[j] = 0;
    }
    for (std::int64_t i = 0; i < n; ++i) {
      const T* from = x + i * row;
      for (std::int64_t j = begin; j < end; ++j) out[j] += from[j];
    }
  });
}

}  // namespace detail

// Adds learned positions to patches (N, P, D) and puts a class token before each sequence where one is given:
// (N * L, D) with L = P, or P + 1 with `class_token` (D), whose position is row 0 of `positions` (L, D)
// (Dosovitskiy et al. 2021, eq. 1).
inline Var patch_tokens(const Var& patches, const Var& class_token, const Var& positions) {
  FOVEA_CHECK(patches.rank() == 3, "[patch_tokens] patches are ", patches.shape(), ", expected (N, P, D)");
  const std::int64_t n = patches.dim(0), p = patches.dim(1), d = patches.dim(2);
  const std::int64_t first = class_token.defined() ? 1 : 0, l = p + first;
  FOVEA_CHECK(positions.shape() == (Shape{l, d}), "[patch_tokens] positions are ", positions.shape(), ", ", p,
              " patches of width ", d, " need (", l, ", ", d, ")\nhint: the image size differs from the model's");
  FOVEA_CHECK(!first || class_token.shape() == Shape{d}, "[patch_tokens] class token is ", class_token.shape(),
              ", expected (", d, ",)");
  Tensor y({n * l, d}, patches.dtype());
  dispatch_floating(y.dtype(), "patch_tokens", [&]<class T>() {
    const T* x = patches.value().data<T>();
    const T* c = first ? class_token.value().data<T>() : nullptr;
    const T* pos = positions.value().data<T>();
    T* out = y.mutable_data<T>();
    parallel_for(n, 8, [=](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        T* row = out + i * l * d;
        for (std::int64_t j = 0; j < first * d; ++j) row[j] = c[j] + pos[j];
        for (std::int64_t j = 0; j < p * d; ++j) row[first * d + j] = x[i * p * d + j] + pos[first * d + j];
      }
    });
  });
  std::vector<Var> inputs{patches, positions};
  if (first) inputs.push_back(class_token);
  return record("patch_tokens", y, inputs, [=](const Tensor& dy, Grads& g) {
    dispatch_floating(dy.dtype(), "patch_tokens", [&]<class T>() {
      const T* grad = dy.data<T>();
      if (g.wants(0)) {
        const GradSlot slot = g.into(0);
        T* dx = slot.data<T>();
        parallel_for(n, 8, [=, accumulate = slot.accumulate](std::int64_t begin, std::int64_t end) {
          for (std::int64_t i = begin; i < end; ++i) {
            const T* from = grad + (i * l + first) * d;
            T* to = dx + i * p * d;
            for (std::int64_t j = 0; j < p * d; ++j) to[j] = accumulate ? to[j] + from[j] : from[j];
          }
        });
      }
      if (g.wants(1)) {
        const GradSlot slot = g.into(1);
        detail::sum_over_batch(grad, n, l * d, slot.data<T>(), slot.accumulate);
      }
      if (first && g.wants(2)) {
        const GradSlot slot = g.into(2);
        T* dc = slot.data<T>();
        for (std::int64_t j = 0; j < d; ++j) {
          T total = slot.accumulate ? dc[j] : 0;
          for (std::int64_t i = 0; i < n; ++i) total += grad[i * l * d + j];
          dc[j] = total;
        }
      }
    });
  });
}

}  // namespace fovea::ops
