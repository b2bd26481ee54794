// Contrastive losses one row at a time: the plain form of the kernels, and the f64 path.
#pragma once

#include <vector>

#include "fovea/kernels/contrastive.h"
#include "fovea/kernels/softmax_reference.h"

namespace fovea::kernels {

namespace detail {

// Calls f(i, dots, logits) for every row i, with its rows of A B^T and of z.
template <class T, class F>
void for_each_logit_row(const ContrastivePairs<T>& pairs, F&& f) {
  std::vector<T> dots(static_cast<std::size_t>(pairs.columns)), logits = dots;
  for (std::int64_t i = 0; i < pairs.rows; ++i) {
    for (std::int64_t j = 0; j < pairs.columns; ++j) {
      T dot = 0;
      for (std::int64_t k = 0; k < pairs.dim; ++k) dot += pairs.a[i * pairs.dim + k] * pairs.b[j * pairs.dim + k];
      dots[static_cast<std::size_t>(j)] = dot;
      logits[static_cast<std::size_t>(j)] = static_cast<T>(pairs.scale) * dot + static_cast<T>(pairs.bias);
    }
    f(i, dots.data(), logits.data());
  }
}

template <class T>
T softplus_reference(T x) {
  return (x > 0 ? x : T(0)) + std::log1p(std::exp(x > 0 ? -x : x));
}

// Gradients from those of the logits, which logit_gradient(i, j, z) gives.
template <class T, class F>
void contrastive_backward_reference(const ContrastivePairs<T>& pairs, ContrastiveGradients<T>& out,
                                    F&& logit_gradient) {
  const auto clear = [&](const GradTarget<T>& target, std::int64_t rows) {
    for (std::int64_t i = 0; target && !target.accumulate && i < rows * pairs.dim; ++i) target.data[i] = 0;
  };
  clear(out.a, pairs.rows);
  clear(out.b, pairs.columns);
  out.scale = out.bias = 0;
  for_each_logit_row(pairs, [&](std::int64_t i, const T* dots, const T* logits) {
    for (std::int64_t j = 0; j < pairs.columns; ++j) {
      const T dz = logit_gradient(i, j, logits[j]), factor = static_cast<T>(pairs.scale) * dz;
      out.scale += static_cast<double>(dz * dots[j]);
      out.bias += static_cast<double>(dz);
      for (std::int64_t k = 0; k < pairs.dim; ++k) {
        if (out.a) out.a.data[i * pairs.dim + k] += factor * pairs.b[j * pairs.dim + k];
        if (out.b) out.b.data[j * pairs.dim + k] += factor * pairs.a[i * pairs.dim + k];
      }
    }
  });
}

}  // namespace detail

template <class T>
void info_nce_forward_reference(const ContrastivePairs<T>& pairs, T* row_logsumexp, T* column_logsumexp,
                                T* label_logits) {
  std::vector<T> largest(static_cast<std::size_t>(column_logsumexp ? pairs.columns : 0)), total = largest;
  detail::for_each_logit_row(pairs, [&](std::int64_t i, const T*, const T* logits) {
    row_logsumexp[i] = detail::logsumexp_line(logits, pairs.columns, 1);
    if (i + pairs.label_offset < pairs.columns) label_logits[i] = logits[i + pairs.label_offset];
    for (std::size_t j = 0; j < largest.size(); ++j) {
      const T z = logits[j], before = i == 0 ? z : largest[j];
      largest[j] = z > before ? z : before;
      total[j] = total[j] * std::exp(before - largest[j]) + std::exp(z - largest[j]);
    }
  });
  for (std::size_t j = 0; j < largest.size(); ++j) column_logsumexp[j] = largest[j] + std::log(total[j]);
}

template <class T>
void info_nce_backward_reference(const ContrastivePairs<T>& pairs, const InfoNceTerms<T>& terms,
                                 ContrastiveGradients<T>& gradients) {
  const T row_weight = static_cast<T>(terms.row_weight), smoothing = static_cast<T>(terms.label_smoothing);
  const T column_weight = terms.column_logsumexp ? static_cast<T>(terms.column_weight) : T(0);
  const T row_share = smoothing / static_cast<T>(terms.all_columns > 0 ? terms.all_columns : pairs.columns);
  const T column_share = smoothing / static_cast<T>(terms.all_rows > 0 ? terms.all_rows : pairs.rows);
  detail::contrastive_backward_reference(pairs, gradients, [&](std::int64_t i, std::int64_t j, T z) {
    const T peak = j == i + pairs.label_offset ? 1 - smoothing : T(0);
    const T row = std::exp(z - terms.row_logsumexp[i]) - peak - row_share;
    if (!terms.column_logsumexp) return row_weight * row;
    const T column = std::exp(z - terms.column_logsumexp[j]) - peak - column_share;
    return row_weight * row + column_weight * column;
  });
}

template <class T>
double pair_sigmoid_forward_reference(const ContrastivePairs<T>& pairs) {
  double total = 0;
  detail::for_each_logit_row(pairs, [&](std::int64_t i, const T*, const T* logits) {
    for (std::int64_t j = 0; j < pairs.columns; ++j) {
      const T z = logits[j];
      total += static_cast<double>(detail::softplus_reference(j == i + pairs.label_offset ? -z : z));
    }
  });
  return total;
}

template <class T>
void pair_sigmoid_backward_reference(const ContrastivePairs<T>& pairs, double weight,
                                     ContrastiveGradients<T>& gradients) {
  detail::contrastive_backward_reference(pairs, gradients, [&](std::int64_t i, std::int64_t j, T z) {
    const T one = j == i + pairs.label_offset ? 1 : 0;
    return static_cast<T>(weight) * (1 / (1 + std::exp(-z)) - one);
  });
}

}  // namespace fovea::kernels
