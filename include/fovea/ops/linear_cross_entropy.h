// A linear layer and the cross entropy of what it gives, without a stored matrix of logits.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>
#include <vector>

#include "fovea/core/parallel.h"
#include "fovea/kernels/rows.h"
#include "fovea/ops/cross_entropy.h"
#include "fovea/ops/detail/product.h"

namespace fovea::ops {

namespace detail {

constexpr std::int64_t max_chunk_logits = std::int64_t{12} << 20;  // 48 MB in f32

// The rows whose factor is not 0.
template <class T>
struct CountedRows {
  std::vector<std::int64_t> rows, targets;
  std::vector<T> factors;

  CountedRows(const Tensor& target, const Tensor& factor) {
    for (std::int64_t r = 0; r < factor.numel(); ++r) {
      if (factor.data<T>()[r] == 0) continue;
      rows.push_back(r);
      targets.push_back(target.data<std::int64_t>()[r]);
      factors.push_back(factor.data<T>()[r]);
    }
  }
  std::int64_t count() const { return static_cast<std::int64_t>(rows.size()); }
};

// The loss of x (T, D) and its gradients, some rows at a time.
template <class T>
struct LinearCrossEntropyPass {
  const Tensor &x, &weight, &bias;  // the bias may be undefined
  double label_smoothing;
  Tensor dx, dweight, dbias;  // written where they are defined
  Tensor logits{}, gathered{};

  // The sum of factor times loss.
  double run(const CountedRows<T>& counted) {
    const std::int64_t count = counted.count(), limit = max_chunk_logits < words() ? 1 : max_chunk_logits / words();
    const std::int64_t chunks = chunk_count(count, limit), step = chunks == 0 ? 0 : chunk_count(count, chunks);
    if (dx.defined() && count < dx.dim(0)) dx.fill(0);
    if (dweight.defined() && count == 0) dweight.fill(0);
    if (dbias.defined() && count == 0) dbias.fill(0);
    logits = Tensor({step, words()}, dtype_of<T>());
    gathered = Tensor({count < x.dim(0) ? step : 0, width()}, dtype_of<T>());
    double total = 0;
    for (std::int64_t begin = 0; begin < count; begin += step) {
      total += chunk(counted, begin, count - begin < step ? count - begin : step);
    }
    return total;
  }

 private:
  std::int64_t width() const { return weight.dim(1); }
  std::int64_t words() const { return weight.dim(0); }
  static bool adjacent(const std::int64_t* rows, std::int64_t count) { return rows[count - 1] - rows[0] == count - 1; }

  double chunk(const CountedRows<T>& counted, std::int64_t begin, std::int64_t count) {
    const std::int64_t *rows = counted.rows.data() + begin, *targets = counted.targets.data() + begin;
    const T *factors = counted.factors.data() + begin, *input = input_rows(rows, count);
    T* z = logits.mutable_data<T>();
    gemm<T>(count, words(), width(), {input, width()}, {weight.data<T>(), width(), true}, z,
            {.bias = bias.defined() ? bias.data<T>() : nullptr});
    const double loss = to_gradients({z, count, words(), label_smoothing}, targets, factors, z);
    const bool first = begin == 0;
    if (dweight.defined()) {
      gemm<T>(words(), width(), count, {z, words(), true}, {input, width()}, dweight.mutable_data<T>(),
              {.accumulate = !first});
    }
    if (dbias.defined()) column_sum(z, count, words(), dbias.mutable_data<T>(), !first);
    if (dx.defined()) put_input_gradient(rows, count);
    return loss;
  }

  // The weighted loss of some rows, and their logits' gradients in place of them.
  double to_gradients(const kernels::CrossEntropyLogits<T>& z, const std::int64_t* targets, const T* factors, T* dz) {
    std::vector<T> losses(static_cast<std::size_t>(z.rows)), logsumexp = losses;
    const bool wanted = dx.defined() || dweight.defined() || dbias.defined();
    if constexpr (std::is_same_v<T, float>) {
      kernels::cross_entropy_forward_f32(z, targets, losses.data(), logsumexp.data());
      if (wanted) kernels::cross_entropy_backward_f32(z, targets, logsumexp.data(), factors, dz, false);
    } else {
      kernels::cross_entropy_forward_reference(z, targets, losses.data(), logsumexp.data());
      if (wanted) kernels::cross_entropy_backward_reference(z, targets, logsumexp.data(), factors, dz, false);
    }
    double total = 0;
    for (std::int64_t r = 0; r < z.rows; ++r)
      total += static_cast<double>(factors[r] * losses[static_cast<std::size_t>(r)]);
    return total;
  }

  const T* input_rows(const std::int64_t* rows, std::int64_t count) {
    if (adjacent(rows, count)) return x.data<T>() + rows[0] * width();
    kernels::gather_rows(x.raw(), rows, count, width() * size_of(dtype_of<T>()), gathered.mutable_raw());
    return gathered.data<T>();
  }
  void put_input_gradient(const std::int64_t* rows, std::int64_t count) {
    T* all = dx.mutable_data<T>();
    T* out = adjacent(rows, count) ? all + rows[0] * width() : gathered.mutable_data<T>();
    gemm<T>(count, width(), words(), {logits.data<T>(), words()}, {weight.data<T>(), width()}, out);
    for (std::int64_t i = 0; !adjacent(rows, count) && i < count; ++i) {
      std::memcpy(all + rows[i] * width(), out + i * width(), static_cast<std::size_t>(width()) * sizeof(T));
    }
  }
};

// gradient * factor as the gradient of input i, where one was formed.
inline void hand_over(Grads& g, int i, Tensor gradient, double factor) {
  if (!gradient.defined() || !g.wants(i)) return;
  if (factor != 1) {
    dispatch_floating(gradient.dtype(), "linear_cross_entropy", [&]<class T>() {
      T* values = gradient.mutable_data<T>();
      parallel_for(gradient.numel(), 1 << 16, [&](std::int64_t k, std::int64_t end) {
        for (; k < end; ++k) values[k] *= static_cast<T>(factor);
      });
    });
  }
  g.add(i, std::move(gradient));
}

}  // namespace detail

// cross_entropy(linear(x, weight, bias), targets, options): x (T, D), weight (V, D), bias (V) or undefined, targets (T)
// i32 or i64 -> a scalar. The gradients are formed in the forward pass, some rows of logits at a time, so that the (T,
// V) logits are never stored; rows that count for nothing are left out of every product. Throws Error when shapes or
// types do not fit, a target is not a class, or the reduction is `none`.
inline Var linear_cross_entropy(const Var& x, const Var& weight, const Var& bias, const Tensor& targets,
                                const CrossEntropyOptions& options = {}) {
  FOVEA_CHECK(x.rank() == 2 && weight.rank() == 2 && x.dim(1) == weight.dim(1), "[linear_cross_entropy] input is ",
              x.shape(), ", weight ", weight.shape(), ", expected (T, D) and (V, D)");
  FOVEA_CHECK(x.dtype() == weight.dtype() && (!bias.defined() || bias.dtype() == x.dtype()),
              "[linear_cross_entropy] input is ", to_string(x.dtype()), ", weight ", to_string(weight.dtype()),
              ", expected one type for all");
  const std::int64_t rows = x.dim(0), words = weight.dim(0);
  FOVEA_CHECK(!bias.defined() || bias.shape() == Shape{words}, "[linear_cross_entropy] bias is ", bias.shape(),
              ", expected (", words, ",)");
  FOVEA_CHECK(options.reduction != Reduction::none,
              "[linear_cross_entropy] a loss per row has no gradient before its own is known\n"
              "hint: weigh rows with row_weights");
  detail::check_cross_entropy({rows, words}, options, "linear_cross_entropy");
  const Tensor classes = detail::class_targets(targets, rows, words, options.ignore_index);
  const Tensor factors = detail::row_factors(options, rows, x.dtype(), classes);

  const auto gradient_of = [&](const Var& input) {
    return grad_enabled() && input.requires_grad() ? Tensor(input.shape(), input.dtype()) : Tensor();
  };
  Tensor y(Shape{}, x.dtype()), dx = gradient_of(x), dweight = gradient_of(weight), dbias = gradient_of(bias);
  dispatch_floating(x.dtype(), "linear_cross_entropy", [&]<class T>() {
    detail::LinearCrossEntropyPass<T> pass{x.value(), weight.value(), bias.value(), options.label_smoothing,
                                           dx,        dweight,        dbias};
    *y.mutable_data<T>() = static_cast<T>(pass.run(detail::CountedRows<T>(classes, factors)));
  });
  return record("linear_cross_entropy", y, {x, weight, bias}, [dx, dweight, dbias](const Tensor& dy, Grads& g) mutable {
    detail::hand_over(g, 0, std::move(dx), dy.item());
    detail::hand_over(g, 1, std::move(dweight), dy.item());
    detail::hand_over(g, 2, std::move(dbias), dy.item());
  });
}

}  // namespace fovea::ops
