// Softmax cross entropy of rows of logits, without a stored matrix of probabilities.
#pragma once

#include <cstdint>

#include "fovea/core/export.h"

namespace fovea::kernels {

// A matrix of logits (rows, classes), and how much of each target goes to all classes alike (Szegedy et al. 2016,
// section 7): a target t becomes (1 - label_smoothing) t + label_smoothing / classes.
template <class T>
struct CrossEntropyLogits {
  const T* data;
  std::int64_t rows, classes;
  double label_smoothing;
};

// losses (rows) = -sum_j target_j log softmax(x)_j for the class targets (rows), of which a negative one makes its
// row's loss 0. logsumexp (rows) is for backward.
FOVEA_API void cross_entropy_forward_f32(const CrossEntropyLogits<float>& x, const std::int64_t* targets, float* losses,
                                         float* logsumexp);
// dx (+)= dlosses (softmax(x) - target).
FOVEA_API void cross_entropy_backward_f32(const CrossEntropyLogits<float>& x, const std::int64_t* targets,
                                          const float* logsumexp, const float* dlosses, float* dx, bool accumulate);

// The same for targets (rows, classes) that need not add up to one.
FOVEA_API void cross_entropy_soft_forward_f32(const CrossEntropyLogits<float>& x, const float* targets, float* losses,
                                              float* logsumexp);
FOVEA_API void cross_entropy_soft_backward_f32(const CrossEntropyLogits<float>& x, const float* targets,
                                               const float* logsumexp, const float* dlosses, float* dx,
                                               bool accumulate);
// dtargets (+)= dlosses (1 - label_smoothing) (logsumexp - x).
FOVEA_API void cross_entropy_soft_backward_targets_f32(const CrossEntropyLogits<float>& x, const float* logsumexp,
                                                       const float* dlosses, float* dtargets, bool accumulate);

}  // namespace fovea::kernels
