// Contrastive losses over all pairs of two sets of features, computed in tiles: the matrix of all logits is never
// stored.
#pragma once

#include <cstdint>

#include "fovea/core/export.h"
#include "fovea/kernels/grad_target.h"

namespace fovea::kernels {

// The logits z (rows, columns) = scale A B^T + bias of a (rows, dim) and b (columns, dim). Row i belongs to column
// i + label_offset: a block of the rows of a larger batch against all its columns has its first row's number here, a
// block without labels the number of its columns.
template <class T>
struct ContrastivePairs {
  const T *a, *b;
  std::int64_t rows, columns, dim, label_offset;
  double scale, bias;
};

// Where gradients go. Those of scale and bias are sums, written always.
template <class T>
struct ContrastiveGradients {
  GradTarget<T> a, b;
  double scale = 0, bias = 0;
};

// What the cross entropies of rows and columns against their labels add up with, and what forward gave:
// sum_i row_weight CE(z_i*) + sum_j column_weight CE(z_*j), each target smoothed over its row or column as
// CrossEntropyLogits describes. column_logsumexp is null where rows alone count.
template <class T>
struct InfoNceTerms {
  const T *row_logsumexp, *column_logsumexp;
  double row_weight, column_weight, label_smoothing;
  // Where the pairs are a block of a larger matrix: the extents of that, over which targets are smoothed.
  std::int64_t all_rows = 0, all_columns = 0;
};

// The log-sum-exp of every row (rows) and, unless null, column (columns), and the logit of every row's label (rows).
// `dots` (rows, columns) receives A B^T unless null.
FOVEA_API void info_nce_forward_f32(const ContrastivePairs<float>& pairs, float* row_logsumexp, float* column_logsumexp,
                                    float* label_logits, float* dots);
// Gradients; `dots` as forward gave them, or null: then they are computed again.
FOVEA_API void info_nce_backward_f32(const ContrastivePairs<float>& pairs, const InfoNceTerms<float>& terms,
                                     const float* dots, ContrastiveGradients<float>& gradients);

// The sum over all pairs of log(1 + e^-z) where a row meets its label and log(1 + e^z) elsewhere (Zhai et al. 2023,
// algorithm 1). `dots` as above.
FOVEA_API double pair_sigmoid_forward_f32(const ContrastivePairs<float>& pairs, float* dots);
// Gradients of `weight` times that sum.
FOVEA_API void pair_sigmoid_backward_f32(const ContrastivePairs<float>& pairs, double weight, const float* dots,
                                         ContrastiveGradients<float>& gradients);

}  // namespace fovea::kernels
