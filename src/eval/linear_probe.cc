#include "fovea/eval/linear_probe.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "eval/lbfgs.h"
#include "fovea/autograd/backward.h"
#include "fovea/eval/classification.h"
#include "fovea/ops/cross_entropy.h"
#include "fovea/ops/matmul.h"
#include "fovea/tensor/factory.h"
#include "fovea/tensor/reduce.h"

namespace fovea::eval {
namespace {

using Index = std::int64_t;

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

// Rows whose every width-th number is one: the biases are weights of it.
Tensor ones_appended(const Tensor& rows) {
  const Index count = rows.dim(0), width = rows.dim(1);
  Tensor out = ones({count, width + 1}, rows.dtype());
  dispatch_floating(rows.dtype(), "linear_probe", [&]<class T>() {
    for (Index i = 0; i < count; ++i)
      std::copy_n(rows.data<T>() + i * width, width, out.mutable_data<T>() + i * (width + 1));
  });
  return out;
}

// What is minimised, as a function of the weights (K, D + 1) of those K classes that have rows.
class Problem {
 public:
  Problem(const Tensor& features, std::span<const Index> labels) : inputs_(ones_appended(features)) {
    for (const Index label : labels) places_.emplace(label, 0);
    for (Index place = 0; auto& entry : places_) entry.second = place++;
    std::vector<Index> targets;
    for (const Index label : labels) targets.push_back(places_[label]);
    targets_ = from_values<Index>({std::ssize(targets)}, targets);
  }

  const std::map<Index, Index>& places() const { return places_; }  // of the classes with rows
  std::size_t size() const { return at(std::ssize(places_) * inputs_.dim(1)); }

  // Goes on from x.
  detail::LbfgsResult minimize(std::vector<double>& x, const LogisticOptions& options) const {
    const double penalty = (places_.size() == 2 ? 2 : 1) / (options.c * static_cast<double>(inputs_.dim(0)));
    const auto value = [&](const double* at_x, double* gradient) {
      return dispatch_floating(inputs_.dtype(), "linear_probe",
                               [&]<class T>() { return evaluate<T>(at_x, gradient, penalty); });
    };
    const double noise = inputs_.dtype() == DType::f64 ? 1e-14 : 1e-6;
    return detail::minimize(x, value, {options.max_iterations, 10, options.tolerance, noise});
  }

 private:
  // Mean cross entropy and penalty.
  template <class T>
  double evaluate(const double* x, double* gradient, double penalty) const {
    const Index columns = inputs_.dim(1), classes = std::ssize(places_);
    Tensor weights({classes, columns}, inputs_.dtype());
    std::transform(x, x + size(), weights.mutable_data<T>(), [](double value) { return static_cast<T>(value); });
    const Var w(weights, true);
    const Var loss = ops::cross_entropy(ops::matmul(inputs_, w, false, true), targets_);
    backward(loss);
    const Tensor slopes = w.grad();
    double squares = 0;
    for (Index i = 0; i < classes * columns; ++i) {
      const bool is_bias = i % columns == columns - 1;
      gradient[i] = static_cast<double>(slopes.data<T>()[i]) + (is_bias ? 0 : penalty * x[i]);
      squares += is_bias ? 0 : x[i] * x[i];
    }
    return loss.value().item() + penalty / 2 * squares;
  }

  Tensor inputs_, targets_;
  std::map<Index, Index> places_;
};

// The classifier that a solution describes.
LogisticRegression make_model(const Problem& problem, const std::vector<double>& x, Index classes, Index width,
                              DType dtype) {
  constexpr double never = -1e30;  // for classes without rows
  Tensor weight = zeros({classes, width}, DType::f64), bias = full({classes}, never, DType::f64);
  for (const auto& [label, place] : problem.places()) {
    const double* row = x.data() + place * (width + 1);
    std::copy_n(row, width, weight.mutable_data<double>() + label * width);
    bias.mutable_data<double>()[label] = row[width];
  }
  return {weight.to(dtype), bias.to(dtype)};
}

Problem make_problem(const Tensor& features, std::span<const Index> labels, Index classes) {
  FOVEA_CHECK(
      features.rank() == 2 && features.dim(0) > 0 && (features.dtype() == DType::f32 || features.dtype() == DType::f64),
      "[linear_probe] features are ", features.dtype(), " ", features.shape(), ", expected f32 or f64 (N, D)");
  FOVEA_CHECK(std::ssize(labels) == features.dim(0), "[linear_probe] ", features.dim(0), " rows of features and ",
              labels.size(), " labels");
  for (const Index label : labels)
    FOVEA_CHECK(label >= 0 && label < classes, "[linear_probe] a label is ", label, ", but there are ", classes,
                " classes");
  FOVEA_CHECK(all_finite(features), "[linear_probe] a feature is not a finite number");
  Problem problem(features, labels);
  FOVEA_CHECK(problem.places().size() > 1, "[linear_probe] all ", labels.size(),
              " rows are of one class, expected two classes or more");
  return problem;
}

}  // namespace

LogisticRegression fit_logistic_regression(const Tensor& features, std::span<const Index> labels, Index classes,
                                           const LogisticOptions& options) {
  const Problem problem = make_problem(features, labels, classes);
  std::vector<double> x(problem.size());
  const detail::LbfgsResult found = problem.minimize(x, options);
  LogisticRegression model = make_model(problem, x, classes, features.dim(1), features.dtype());
  model.iterations = found.iterations;
  model.converged = found.converged;
  return model;
}

Tensor with_ones(const Tensor& features) { return ones_appended(features); }

Tensor with_bias(const LogisticRegression& model) {
  Tensor out = ones_appended(model.weight);
  const Index width = out.dim(1);
  for (Index k = 0; k < out.dim(0); ++k) out.mutable_data<float>()[(k + 1) * width - 1] = model.bias.data<float>()[k];
  return out;
}

RegularisationSweep sweep_regularisation(const Tensor& features, std::span<const Index> labels,
                                         const Tensor& validation, std::span<const Index> validation_labels,
                                         Index classes, const LogisticOptions& options) {
  constexpr int last = 96, per_decade = 8, first_step = 16;
  const auto c_of = [](int i) { return std::pow(10.0, static_cast<double>(i) / per_decade - 6); };
  const Problem problem = make_problem(features, labels, classes);
  struct Trial {
    std::vector<double> x;
    double accuracy = 0;
  };
  std::map<int, Trial> trials;
  const Tensor queries = with_ones(validation);
  const auto try_out = [&](int i) {
    if (i < 0 || i > last || trials.contains(i)) return;
    const auto above = trials.upper_bound(i);  // the solution for the next smaller c is near
    Trial trial{above == trials.begin() ? std::vector<double>(problem.size()) : std::prev(above)->second.x};
    LogisticOptions fit = options;
    fit.c = c_of(i);
    problem.minimize(trial.x, fit);
    const Tensor model = with_bias(make_model(problem, trial.x, classes, features.dim(1), DType::f32));
    trial.accuracy = classification_scores(top_k(queries, model, 1), validation_labels, classes).top1;
    trials.emplace(i, std::move(trial));
  };
  const auto best = [&] {
    return std::max_element(trials.begin(), trials.end(),
                            [](const auto& a, const auto& b) { return a.second.accuracy < b.second.accuracy; })
        ->first;
  };
  for (int i = 0; i <= last; i += first_step) try_out(i);
  for (int step = first_step / 2; step > 0; step /= 2) {
    const int middle = best();
    try_out(middle - step);
    try_out(middle + step);
  }
  RegularisationSweep sweep;
  for (const auto& [i, trial] : trials) sweep.points.push_back({c_of(i), trial.accuracy});
  sweep.best = c_of(best());
  return sweep;
}

}  // namespace fovea::eval
