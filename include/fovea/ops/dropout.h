// Dropout of elements and of whole samples.
#pragma once

#include <vector>

#include "fovea/autograd/saved.h"
#include "fovea/autograd/var.h"
#include "fovea/core/rng.h"
#include "fovea/kernels/dropout.h"
#include "fovea/kernels/dropout_reference.h"
#include "fovea/kernels/rows.h"
#include "fovea/kernels/rows_reference.h"
#include "fovea/ops/detail/grad_target.h"
#include "fovea/tensor/factory.h"
#include "fovea/tensor/packed.h"

namespace fovea::ops {

namespace detail {

inline void check_probability(const char* name, double p) {
  FOVEA_CHECK(p >= 0 && p < 1, "[", name, "] probability is ", p, ", expected 0 <= p < 1");
}

inline void check_layout(const char* name, const Var& x, const PackedLayout& layout) {
  FOVEA_CHECK(x.rank() >= 1, "[", name, "] input is a scalar, expected (T, ...)");
  layout.check(name, x.dim(0));
  FOVEA_CHECK(layout.sample_ids.defined() && layout.sample_ids.numel() == layout.sequences(), "[", name,
              "] the layout has ", layout.sequences(), " sequences and ids for ",
              layout.sample_ids.defined() ? layout.sample_ids.numel() : 0);
}

// One key per sample.
inline std::vector<RngKey> sample_keys(RngKey key, const Tensor& sample_ids) {
  std::vector<RngKey> keys;
  const auto* ids = sample_ids.data<std::int64_t>();
  for (std::int64_t b = 0; b < sample_ids.numel(); ++b) keys.push_back(key.derive(static_cast<std::uint64_t>(ids[b])));
  return keys;
}

template <class Apply>
Tensor applied(const char* name, const Tensor& x, const Apply& apply) {
  Tensor y(x.shape(), x.dtype());
  dispatch_floating(x.dtype(), name, [&]<class T>() {
    apply(x.data<T>(), kernels::GradTarget<T>{y.mutable_data<T>(), false});
  });
  return y;
}

// A linear map whose gradient is the same map: apply(from, to) of x now, and of dy in backward. Keeps nothing.
template <class Apply>
Var self_adjoint(const char* name, const Var& x, const Apply& apply) {
  Tensor y = applied(name, x.value(), apply);
  Recipe recipe;
  if (x.has_recipe()) recipe = [=, kept = SavedActivation(x)] { return applied(name, kept.restore(), apply); };
  auto backward = [name, apply](const Tensor& dy, Grads& g) {
    dispatch_floating(dy.dtype(), name, [&]<class T>() { apply(dy.data<T>(), grad_target<T>(g, 0)); });
  };
  return record(name, y, {x}, std::move(backward), std::move(recipe));
}

// y = x with the elements of some samples zero and the others scaled; sample b is rows [offsets[b], offsets[b + 1]).
inline Var drop_samples(const Var& x, double p, const std::vector<RngKey>& keys, const Tensor& offsets) {
  std::vector<double> factors;
  for (RngKey key : keys) factors.push_back(uniform_from_bits(philox(key, 0)[0]) >= p ? 1 / (1 - p) : 0);
  const auto segments = static_cast<std::int64_t>(keys.size());
  const std::int64_t width = x.shape().inner(0);
  return self_adjoint("drop_path", x,
                      [=, offsets = Saved(offsets), factors = std::move(factors)]<class T>(
                          const T* from, const kernels::GradTarget<T>& to) {
                        const std::vector<T> narrow(factors.begin(), factors.end());
                        const auto* offset = offsets->data<std::int64_t>();
                        if constexpr (std::is_same_v<T, float>) {
                          kernels::scale_segments_f32(from, offset, narrow.data(), segments, width, to);
                        } else {
                          kernels::scale_segments_reference(from, offset, narrow.data(), segments, width, to);
                        }
                      });
}

}  // namespace detail

// In training, zeroes each element with probability p and divides the others by 1 - p (Srivastava et al. 2014);
// otherwise x itself. Element i draws word i % 4 of philox(key, i / 4), so equal keys drop the same elements. Keeps
// nothing. Throws Error unless 0 <= p < 1.
inline Var dropout(const Var& x, double p, RngKey key, bool training) {
  detail::check_probability("dropout", p);
  if (!training || p == 0) return x;
  const std::int64_t n = x.value().numel();
  return detail::self_adjoint("dropout", x, [=]<class T>(const T* from, const kernels::GradTarget<T>& to) {
    if constexpr (std::is_same_v<T, float>) {
      kernels::dropout_f32(from, n, key, p, to);
    } else {
      kernels::dropout_reference(from, n, key, p, to);
    }
  });
}

// As above for packed tokens (T, ...): what a sample's elements draw depends on the key, the sample's id and their
// place in the sample alone, so any split into micro-batches drops the same ones. Throws Error unless 0 <= p < 1 and
// the layout has T tokens.
inline Var dropout(const Var& x, double p, RngKey key, const PackedLayout& layout, bool training = true) {
  detail::check_probability("dropout", p);
  if (!training || p == 0) return x;
  detail::check_layout("dropout", x, layout);
  const std::int64_t segments = layout.sequences(), width = x.shape().inner(0);
  return detail::self_adjoint(
      "dropout", x,
      [=, offsets = Saved(layout.offsets), keys = detail::sample_keys(key, layout.sample_ids)]<class T>(
          const T* from, const kernels::GradTarget<T>& to) {
        const auto* offset = offsets->data<std::int64_t>();
        if constexpr (std::is_same_v<T, float>) {
          kernels::dropout_segments_f32(from, offset, keys.data(), segments, width, p, to);
        } else {
          kernels::dropout_segments_reference(from, offset, keys.data(), segments, width, p, to);
        }
      });
}

// Stochastic depth: in training, zeroes whole samples of x (N, ...) with probability p and divides the others by 1 - p
// (Huang et al. 2016). Sample n draws by the key and sample_ids[n] (N) i64. Throws Error unless 0 <= p < 1 and there is
// an id per sample.
inline Var drop_path(const Var& x, double p, RngKey key, const Tensor& sample_ids, bool training = true) {
  detail::check_probability("drop_path", p);
  if (!training || p == 0) return x;
  FOVEA_CHECK(x.rank() >= 1 && sample_ids.shape() == Shape{x.dim(0)}, "[drop_path] input is ", x.shape(),
              ", sample ids are ", sample_ids.shape(), ", expected one per sample");
  return detail::drop_samples(x, p, detail::sample_keys(key, sample_ids), arange(x.dim(0) + 1));
}

// As above for packed tokens (T, ...): all tokens of a sample go or stay together.
inline Var drop_path(const Var& x, double p, RngKey key, const PackedLayout& layout, bool training = true) {
  detail::check_probability("drop_path", p);
  if (!training || p == 0) return x;
  detail::check_layout("drop_path", x, layout);
  return detail::drop_samples(x, p, detail::sample_keys(key, layout.sample_ids), layout.offsets);
}

}  // namespace fovea::ops
