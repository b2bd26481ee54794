// Contrastive losses over all pairs of two sets of features, without a stored matrix of logits.
#pragma once

#include <cstdint>
#include <type_traits>
#include <vector>

#include "fovea/autograd/saved.h"
#include "fovea/autograd/var.h"
#include "fovea/kernels/contrastive.h"
#include "fovea/kernels/contrastive_reference.h"
#include "fovea/ops/detail/grad_target.h"

namespace fovea::ops {

// Which cross entropies InfoNCE is made of.
enum class InfoNceSides : std::uint8_t {
  both,  // the mean of those of rows and of columns, for a whole batch: as many rows as columns
  rows,  // those of rows alone: for a block of a batch's rows against all its columns
};

struct InfoNceOptions {
  double label_smoothing = 0;  // share of each target spread over its row, or column (Szegedy et al. 2016, section 7)
  std::int64_t label_offset = 0;  // row i belongs to column i + label_offset
  InfoNceSides sides = InfoNceSides::both;
};

// The loss, and the means that it is made of.
struct InfoNceResult {
  Var loss;                      // scalar
  double rows = 0, columns = 0;  // `columns` is 0 where rows alone count
};

namespace detail {

inline void check_contrastive(const char* where, const Var& a, const Var& b, const Var& factor, std::int64_t offset) {
  FOVEA_CHECK(a.rank() == 2 && b.rank() == 2 && a.dim(1) == b.dim(1), "[", where, "] features are ", a.shape(), " and ",
              b.shape(), ", expected (R, E) and (N, E)");
  FOVEA_CHECK(a.dtype() == b.dtype() && a.dtype() == factor.dtype(), "[", where, "] features are ",
              to_string(a.dtype()), " and ", to_string(b.dtype()), ", the scale is ", to_string(factor.dtype()));
  FOVEA_CHECK(factor.value().numel() == 1, "[", where, "] the scale is ", factor.shape(), ", expected one number");
  FOVEA_CHECK(offset >= 0 && offset + a.dim(0) <= b.dim(0), "[", where, "] rows ", offset, " to ", offset + a.dim(0),
              " have labels among ", b.dim(0), " columns\nhint: every row needs the column that it belongs to");
}

template <class T>
kernels::ContrastivePairs<T> contrastive_pairs(const Tensor& a, const Tensor& b, std::int64_t offset, double scale,
                                               double bias) {
  return {a.data<T>(), b.data<T>(), a.dim(0), b.dim(0), a.dim(1), offset, scale, bias};
}

// A B^T for backward where it takes no more memory than the features; undefined where backward computes it again. The
// references always do.
inline Tensor kept_dots(const Var& a, const Var& b) {
  const std::int64_t rows = a.dim(0), columns = b.dim(0);
  const bool recorded = grad_enabled() && (a.requires_grad() || b.requires_grad());
  const bool keep = recorded && a.dtype() == DType::f32 && rows * columns <= (rows + columns) * a.dim(1);
  return keep ? Tensor({rows, columns}, DType::f32) : Tensor();
}

template <class T>
void add_to_scalar(Grads& g, int i, double value) {
  if (const kernels::GradTarget<T> target = grad_target<T>(g, i)) target.put(0, static_cast<T>(value));
}

// The mean over rows of logsumexp - (1 - smoothing) label logit - smoothing mean logit.
template <class T>
double mean_surprise(const Tensor& logsumexp, const Tensor& label_logits, double smoothing, double mean_logit) {
  double total = 0;
  for (std::int64_t i = 0; i < logsumexp.numel(); ++i) {
    total += static_cast<double>(logsumexp.data<T>()[i]) -
             (1 - smoothing) * static_cast<double>(label_logits.data<T>()[i]) - smoothing * mean_logit;
  }
  return logsumexp.numel() == 0 ? 0 : total / static_cast<double>(logsumexp.numel());
}

// The mean row of x (n, width).
template <class T>
std::vector<double> mean_row(const Tensor& x) {
  const auto width = static_cast<std::size_t>(x.dim(1));
  std::vector<double> mean(width);
  const T* row = x.data<T>();
  for (std::int64_t i = 0; i < x.dim(0); ++i, row += width) {
    for (std::size_t k = 0; k < width; ++k) mean[k] += static_cast<double>(row[k]) / static_cast<double>(x.dim(0));
  }
  return mean;
}

// Mean of all products of a row of a with a row of b.
template <class T>
double mean_dot(const Tensor& a, const Tensor& b) {
  const std::vector<double> x = mean_row<T>(a), y = mean_row<T>(b);
  double sum = 0;
  for (std::size_t k = 0; k < x.size(); ++k) sum += x[k] * y[k];
  return sum;
}

}  // namespace detail

// Cross entropies of the logits z = scale a b^T, each row i against column i + offset and each column against its row:
// a (R, E), b (N, E), scale one number (van den Oord et al. 2018, eq. 4; Radford et al. 2021, figure 3). Memory grows
// with R + N: the logits are computed in tiles, again in backward where they are more than the features. Throws Error
// when shapes or types do not fit, and when both sides are asked for of a block that is not square.
inline InfoNceResult info_nce(const Var& a, const Var& b, const Var& scale, const InfoNceOptions& options = {}) {
  detail::check_contrastive("info_nce", a, b, scale, options.label_offset);
  const double smoothing = options.label_smoothing, factor = scale.item();
  FOVEA_CHECK(smoothing >= 0 && smoothing <= 1, "[info_nce] label smoothing is ", smoothing, ", expected 0 to 1");
  const std::int64_t rows = a.dim(0), columns = b.dim(0), offset = options.label_offset;
  const bool both = options.sides == InfoNceSides::both;
  FOVEA_CHECK(!both || rows == columns, "[info_nce] ", rows, " rows and ", columns,
              " columns, expected as many\nhint: a block of a batch's rows has InfoNceSides::rows");
  const DType type = a.dtype();
  Tensor row_logsumexp({rows}, type), column_logsumexp = both ? Tensor({columns}, type) : Tensor();
  Tensor dots = detail::kept_dots(a, b), y(Shape{}, type);
  InfoNceResult result;
  dispatch_floating(type, "info_nce", [&]<class T>() {
    const auto pairs = detail::contrastive_pairs<T>(a.value(), b.value(), offset, factor, 0);
    Tensor labels({rows}, type);
    T* column = both ? column_logsumexp.mutable_data<T>() : nullptr;
    if constexpr (std::is_same_v<T, float>) {
      kernels::info_nce_forward_f32(pairs, row_logsumexp.mutable_data<T>(), column, labels.mutable_data<T>(),
                                    dots.defined() ? dots.mutable_data<T>() : nullptr);
    } else {
      kernels::info_nce_forward_reference(pairs, row_logsumexp.mutable_data<T>(), column, labels.mutable_data<T>());
    }
    const double mean = smoothing == 0 ? 0 : factor * detail::mean_dot<T>(a.value(), b.value());
    result.rows = detail::mean_surprise<T>(row_logsumexp, labels, smoothing, mean);
    if (both) result.columns = detail::mean_surprise<T>(column_logsumexp, labels, smoothing, mean);
    *y.mutable_data<T>() = static_cast<T>(both ? (result.rows + result.columns) / 2 : result.rows);
  });
  result.loss =
      record("info_nce", y, {a, b, scale}, [=, a = Saved(a.value()), b = Saved(b.value())](const Tensor& dy, Grads& g) {
        dispatch_floating(dy.dtype(), "info_nce", [&]<class T>() {
          const auto pairs = detail::contrastive_pairs<T>(a, b, offset, factor, 0);
          const double weight = dy.item() / (rows == 0 ? 1 : static_cast<double>(both ? 2 * rows : rows));
          const kernels::InfoNceTerms<T> terms{row_logsumexp.data<T>(), detail::data_or_null<T>(column_logsumexp),
                                               weight, weight, smoothing};
          kernels::ContrastiveGradients<T> out{detail::grad_target<T>(g, 0), detail::grad_target<T>(g, 1)};
          if constexpr (std::is_same_v<T, float>) {
            kernels::info_nce_backward_f32(pairs, terms, detail::data_or_null<T>(dots), out);
          } else {
            kernels::info_nce_backward_reference(pairs, terms, out);
          }
          detail::add_to_scalar<T>(g, 2, out.scale);
        });
      });
  return result;
}

// The pairwise sigmoid loss (Zhai et al. 2023, algorithm 1): the sum over all pairs of log(1 + e^-z) where row i meets
// column i + label_offset, and log(1 + e^z) elsewhere, over the number of rows, of z = scale a b^T + bias. a (R, E), b
// (N, E), scale and bias one number each. Memory and errors as those of info_nce.
inline Var pair_sigmoid(const Var& a, const Var& b, const Var& scale, const Var& bias, std::int64_t label_offset = 0) {
  detail::check_contrastive("pair_sigmoid", a, b, scale, label_offset);
  FOVEA_CHECK(bias.value().numel() == 1 && bias.dtype() == a.dtype(), "[pair_sigmoid] the bias is ",
              to_string(bias.dtype()), " ", bias.shape(), ", expected one number of type ", to_string(a.dtype()));
  const double factor = scale.item(), shift = bias.item();
  const double per_row = a.dim(0) == 0 ? 0 : 1 / static_cast<double>(a.dim(0));
  Tensor dots = detail::kept_dots(a, b), y(Shape{}, a.dtype());
  dispatch_floating(a.dtype(), "pair_sigmoid", [&]<class T>() {
    const auto pairs = detail::contrastive_pairs<T>(a.value(), b.value(), label_offset, factor, shift);
    double sum = 0;
    if constexpr (std::is_same_v<T, float>) {
      sum = kernels::pair_sigmoid_forward_f32(pairs, dots.defined() ? dots.mutable_data<T>() : nullptr);
    } else {
      sum = kernels::pair_sigmoid_forward_reference(pairs);
    }
    *y.mutable_data<T>() = static_cast<T>(sum * per_row);
  });
  return record("pair_sigmoid", y, {a, b, scale, bias},
                [=, a = Saved(a.value()), b = Saved(b.value())](const Tensor& dy, Grads& g) {
                  dispatch_floating(dy.dtype(), "pair_sigmoid", [&]<class T>() {
                    const auto pairs = detail::contrastive_pairs<T>(a, b, label_offset, factor, shift);
                    const double weight = dy.item() * per_row;
                    kernels::ContrastiveGradients<T> out{detail::grad_target<T>(g, 0), detail::grad_target<T>(g, 1)};
                    if constexpr (std::is_same_v<T, float>) {
                      kernels::pair_sigmoid_backward_f32(pairs, weight, detail::data_or_null<T>(dots), out);
                    } else {
                      kernels::pair_sigmoid_backward_reference(pairs, weight, out);
                    }
                    detail::add_to_scalar<T>(g, 2, out.scale);
                    detail::add_to_scalar<T>(g, 3, out.bias);
                  });
                });
}

}  // namespace fovea::ops
