// Logistic regression on a model's features (Radford et al. 2021, section 3.2 and appendix A.3).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "fovea/tensor/tensor.h"

namespace fovea::eval {

struct LogisticOptions {
  double c = 1;  // scikit-learn's: how much the losses count beside half the squared weights
  int max_iterations = 1000;
  double tolerance = 1e-4;  // of the largest derivative of the mean loss
};

// A linear classifier.
struct LogisticRegression {
  Tensor weight, bias;  // (C, D) and (C), of the features' type
  int iterations = 0;
  bool converged = false;
};

// The smallest of c sum_i cross_entropy_i + |weight|^2 / 2 over the rows of `features` (N, D) f32 or f64, by L-BFGS;
// biases are free. With two classes the penalty is that of one vector of weights, the classes' difference: that is
// scikit-learn's LogisticRegression, and for any number of classes the results agree. A class without rows is never an
// answer. Throws Error when labels do not fit, all rows are of one class, or a feature is not finite.
FOVEA_API LogisticRegression fit_logistic_regression(const Tensor& features, std::span<const std::int64_t> labels,
                                                     std::int64_t classes, const LogisticOptions& options = {});

// Features (N, D) f32 with a column of ones, and the classifier's weights with its biases: the dot products of their
// rows are the logits, which `top_k` ranks.
FOVEA_API Tensor with_ones(const Tensor& features);
FOVEA_API Tensor with_bias(const LogisticRegression& model);

// One trial of the sweep.
struct SweepPoint {
  double c = 0, accuracy = 0;  // percent of the validation rows that are classified right
};

// The trials by rising c, and the best: of equally good ones the smallest c.
struct RegularisationSweep {
  std::vector<SweepPoint> points;
  double best = 0;
};

// CLIP's parametric binary search over 97 values from 1e-6 to 1e6, eight a decade: seven that are two decades apart,
// then the neighbours of the best at half the distance, four times over. Features must be f32.
FOVEA_API RegularisationSweep sweep_regularisation(const Tensor& features, std::span<const std::int64_t> labels,
                                                   const Tensor& validation,
                                                   std::span<const std::int64_t> validation_labels,
                                                   std::int64_t classes, const LogisticOptions& options = {});

}  // namespace fovea::eval
