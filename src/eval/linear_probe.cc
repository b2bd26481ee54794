#include "fovea/eval/linear_probe.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "eval/lbfgs.h"
#include "fovea/autograd/no_grad.h"
#include "fovea/eval/classification.h"
#include "fovea/ops/matmul.h"
#include "fovea/tensor/factory.h"
#include "fovea/tensor/reduce.h"

namespace fovea::eval {
namespace {

using Index = std::int64_t;

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

// Mean cross entropy and penalty as a function of the weights (K, D), with the biases (K) after them.
class Objective {
 public:
  Objective(const Tensor& features, const std::vector<Index>& labels, Index classes, double penalty)
      : features_(features), labels_(labels), classes_(classes), penalty_(penalty) {}

  std::size_t size() const { return at(classes_ * (features_.dim(1) + 1)); }

  double operator()(const double* x, double* gradient) const {
    return dispatch_floating(features_.dtype(), "linear_probe", [&]<class T>() { return evaluate<T>(x, gradient); });
  }

 private:
  template <class T>
  double evaluate(const double* x, double* gradient) const {
    const NoGrad nothing_is_recorded;
    const Index rows = features_.dim(0), weights = classes_ * features_.dim(1);
    Tensor weight({classes_, features_.dim(1)}, features_.dtype());
    std::transform(x, x + weights, weight.mutable_data<T>(), [](double value) { return static_cast<T>(value); });
    Tensor logits = ops::matmul(features_, weight, false, true).value();
    std::vector<double> bias_gradient(at(classes_));
    const double loss = softmax_losses<T>(x + weights, logits.mutable_data<T>(), bias_gradient) / static_cast<double>(rows);
    const Tensor product = ops::matmul(logits, features_, true, false).value();
    double squares = 0;
    for (Index i = 0; i < weights; ++i) {
      squares += x[i] * x[i];
      gradient[i] = static_cast<double>(product.data<T>()[i]) + penalty_ * x[i];
    }
    std::copy(bias_gradient.begin(), bias_gradient.end(), gradient + weights);
    return loss + penalty_ / 2 * squares;
  }

  // The sum of the losses; the logits become their derivatives of the mean, whose columns are added up.
  template <class T>
  double softmax_losses(const double* bias, T* logits, std::vector<double>& column_sums) const {
    constexpr Index grain = 64;
    const Index rows = features_.dim(0), chunks = chunk_count(rows, grain);
    std::vector<double> losses(at(chunks)), sums(at(chunks * classes_));
    parallel_for(rows, grain, [&](Index row, Index end) {
      std::vector<double> p(at(classes_));
      double& loss = losses[at(row / grain)];
      double* sum = sums.data() + row / grain * classes_;
      for (; row < end; ++row) {
        T* l = logits + row * classes_;
        const Index label = labels_[at(row)];
        for (Index k = 0; k < classes_; ++k) p[at(k)] = static_cast<double>(l[k]) + bias[k];
        const double most = *std::max_element(p.begin(), p.end()), right = p[at(label)];
        double total = 0;
        for (double& value : p) total += value = std::exp(value - most);
        loss += most + std::log(total) - right;
        for (Index k = 0; k < classes_; ++k) {
          const double derivative = (p[at(k)] / total - (k == label)) / static_cast<double>(rows);
          l[k] = static_cast<T>(derivative);
          sum[k] += derivative;
        }
      }
    });
    double loss = 0;
    for (Index chunk = 0; chunk < chunks; ++chunk) {
      loss += losses[at(chunk)];
      for (Index k = 0; k < classes_; ++k) column_sums[at(k)] += sums[at(chunk * classes_ + k)];
    }
    return loss;
  }

  Tensor features_;
  const std::vector<Index>& labels_;
  Index classes_;
  double penalty_;
};

void check_features(const Tensor& features, std::span<const Index> labels, Index classes) {
  FOVEA_CHECK(features.rank() == 2 && features.dim(0) > 0 && (features.dtype() == DType::f32 || features.dtype() == DType::f64),
              "[linear_probe] features are ", features.dtype(), " ", features.shape(), ", expected f32 or f64 (N, D)");
  FOVEA_CHECK(std::ssize(labels) == features.dim(0), "[linear_probe] ", features.dim(0), " rows of features and ",
              labels.size(), " labels");
  for (const Index label : labels)
    FOVEA_CHECK(label >= 0 && label < classes, "[linear_probe] a label is ", label, ", but there are ", classes,
                " classes");
}

double percent_right(const LogisticRegression& model, const Tensor& features, std::span<const Index> labels) {
  return classification_scores(top_k(with_ones(features), with_bias(model), 1), labels, model.bias.dim(0)).top1;
}

}  // namespace

LogisticRegression fit_logistic_regression(const Tensor& features, std::span<const Index> labels, Index classes,
                                           const LogisticOptions& options) {
  check_features(features, labels, classes);
  FOVEA_CHECK(all_finite(features), "[linear_probe] a feature is not a finite number");
  std::map<Index, Index> present;  // class -> its place among those with rows
  for (const Index label : labels) present.emplace(label, 0);
  const Index count = std::ssize(present);
  FOVEA_CHECK(count > 1, "[linear_probe] all ", labels.size(), " rows are of one class, expected two classes or more");
  for (Index place = 0; auto& entry : present) entry.second = place++;
  std::vector<Index> places;
  for (const Index label : labels) places.push_back(present[label]);
  const double penalty = (count == 2 ? 2 : 1) / (options.c * static_cast<double>(features.dim(0)));
  const Objective objective(features, places, count, penalty);
  std::vector<double> x(objective.size());
  const auto found = detail::minimize(
      x, objective, {options.max_iterations, 10, options.tolerance, features.dtype() == DType::f64 ? 1e-14 : 1e-7});

  const Index width = features.dim(1);
  constexpr double never = -1e30;  // for classes without rows
  Tensor weight = zeros({classes, width}, DType::f64), bias = full({classes}, never, DType::f64);
  for (const auto& [label, place] : present) {
    std::copy_n(x.data() + place * width, width, weight.mutable_data<double>() + label * width);
    bias.mutable_data<double>()[label] = x[at(count * width + place)];
  }
  return {weight.to(features.dtype()), bias.to(features.dtype()), found.iterations, found.converged};
}

Tensor with_ones(const Tensor& features) {
  const Index rows = features.dim(0), width = features.dim(1);
  Tensor out({rows, width + 1});
  for (Index i = 0; i < rows; ++i) {
    float* row = out.mutable_data<float>() + i * (width + 1);
    std::copy_n(features.data<float>() + i * width, width, row);
    row[width] = 1;
  }
  return out;
}

Tensor with_bias(const LogisticRegression& model) {
  Tensor out = with_ones(model.weight);
  const Index width = out.dim(1);
  for (Index k = 0; k < out.dim(0); ++k) out.mutable_data<float>()[(k + 1) * width - 1] = model.bias.data<float>()[k];
  return out;
}

RegularisationSweep sweep_regularisation(const Tensor& features, std::span<const Index> labels,
                                         const Tensor& validation, std::span<const Index> validation_labels,
                                         Index classes, const LogisticOptions& options) {
  constexpr int last = 96, per_decade = 8, first_step = 16;
  const auto c_of = [](int i) { return std::pow(10.0, static_cast<double>(i) / per_decade - 6); };
  std::map<int, double> accuracies;
  const auto try_out = [&](int i) {
    if (i < 0 || i > last || accuracies.contains(i)) return;
    LogisticOptions trial = options;
    trial.c = c_of(i);
    accuracies[i] =
        percent_right(fit_logistic_regression(features, labels, classes, trial), validation, validation_labels);
  };
  const auto best = [&] {
    return std::max_element(accuracies.begin(), accuracies.end(),
                            [](const auto& a, const auto& b) { return a.second < b.second; })
        ->first;
  };
  for (int i = 0; i <= last; i += first_step) try_out(i);
  for (int step = first_step / 2; step > 0; step /= 2) {
    const int middle = best();
    try_out(middle - step);
    try_out(middle + step);
  }
  RegularisationSweep sweep;
  for (const auto& [i, accuracy] : accuracies) sweep.points.push_back({c_of(i), accuracy});
  sweep.best = c_of(best());
  return sweep;
}

}  // namespace fovea::eval
