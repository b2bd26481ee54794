// Against scikit-learn (tests/golden/make_probe_golden.py).
#include "fovea/eval/linear_probe.h"

#include <gtest/gtest.h>

#include <cmath>

#include "../support/error_of.h"
#include "fovea/eval/classification.h"
#include "fovea/tensor/factory.h"
#include "fovea/tensor/reduce.h"
#include "fovea/testing/golden.h"

namespace fovea::eval {
namespace {

using tests::error_of;
using Labels = std::vector<std::int64_t>;

Labels labels_of(const Tensor& t, std::int64_t modulo = 1 << 20) {
  Labels labels;
  for (std::int64_t i = 0; i < t.numel(); ++i) labels.push_back(static_cast<std::int64_t>(t.at(i)) % modulo);
  return labels;
}

const testing::Golden& golden() {
  static const testing::Golden file(FOVEA_SOURCE_DIR "/tests/golden/probe.safetensors");
  return file;
}

Labels answers(const LogisticRegression& model, const Tensor& queries) {
  const LogisticRegression f32{model.weight.to(DType::f32), model.bias.to(DType::f32)};
  Labels found;
  for (const auto& hits : top_k(with_ones(queries.to(DType::f32)), with_bias(f32), 1))
    found.push_back(hits.front().candidate);
  return found;
}

TEST(LinearProbe, EqualsScikitLearns) {
  const Labels labels = labels_of(golden()["labels"]);
  for (const char* name : {"0.01", "1", "100"}) {
    const std::string prefix = concat("multi.", name, ".");
    const auto fit = fit_logistic_regression(golden()["features"], labels, 4, {std::stod(name), 10000, 1e-12});
    EXPECT_TRUE(fit.converged);
    EXPECT_LE(testing::relative_error(fit.weight, golden()[prefix + "weight"], 1e-6), 1e-8) << name;
    // The sum of the biases is free: scikit-learn's is zero as well, which is where both begin.
    EXPECT_LE(testing::relative_error(fit.bias, golden()[prefix + "bias"], 1e-6), 1e-8) << name;
    EXPECT_EQ(answers(fit, golden()["queries"]), labels_of(golden()[prefix + "answers"])) << name;

    const auto f32 =
        fit_logistic_regression(golden()["features"].to(DType::f32), labels, 4, {std::stod(name), 10000, 1e-6});
    EXPECT_EQ(f32.weight.dtype(), DType::f32);
    EXPECT_LE(testing::relative_error(f32.weight, golden()[prefix + "weight"], 1e-6), 2e-3) << name;
  }
}

TEST(LinearProbe, TwoClassesArePenalisedAsOneVector) {
  const Labels labels = labels_of(golden()["labels"], 2);
  for (const char* name : {"0.01", "1", "100"}) {
    const std::string prefix = concat("two.", name, ".");
    const auto fit = fit_logistic_regression(golden()["features"], labels, 2, {std::stod(name), 10000, 1e-12});
    const Tensor expected = golden()[prefix + "weight"];
    for (std::int64_t d = 0; d < 6; ++d)
      EXPECT_NEAR(fit.weight.at(6 + d) - fit.weight.at(d), expected.at(d), 1e-8 * max_abs(expected)) << name;
    EXPECT_NEAR(fit.bias.at(1) - fit.bias.at(0), golden()[prefix + "bias"].at(0), 1e-8);
    EXPECT_EQ(answers(fit, golden()["queries"]), labels_of(golden()[prefix + "answers"])) << name;
  }
}

TEST(LinearProbe, ClassesWithoutRowsAreNoAnswers) {
  Labels labels = labels_of(golden()["labels"]), moved = labels;
  for (std::int64_t& label : moved) label += label >= 2;  // class 2 of five has no rows
  const auto fit = fit_logistic_regression(golden()["features"], moved, 5, {1, 10000, 1e-12});
  Labels expected = labels_of(golden()["multi.1.answers"]);
  for (std::int64_t& label : expected) label += label >= 2;
  EXPECT_EQ(answers(fit, golden()["queries"]), expected);
}

TEST(LinearProbe, StopsAfterItsIterations) {
  const Labels labels = labels_of(golden()["labels"]);
  const auto fit = fit_logistic_regression(golden()["features"], labels, 4, {1e6, 3, 1e-12});
  EXPECT_EQ(fit.iterations, 3);
  EXPECT_FALSE(fit.converged);
}

// Separable rows, where hardly any regularisation is best, and labels that mean nothing.
TEST(LinearProbe, SweepFindsTheBestOfItsGrid) {
  const Labels labels = labels_of(golden()["labels"]), query_labels = labels_of(golden()["query_labels"]);
  const Tensor features = golden()["features"].to(DType::f32), queries = golden()["queries"].to(DType::f32);
  const RegularisationSweep sweep = sweep_regularisation(features, labels, queries, query_labels, 4);
  EXPECT_GE(sweep.points.size(), 11u);
  EXPECT_LE(sweep.points.size(), 15u);
  EXPECT_NEAR(sweep.points.front().c, 1e-6, 1e-12);
  EXPECT_NEAR(sweep.points.back().c, 1e6, 1e-3);
  double best = 0, smallest = 0;
  bool neighbours = false;
  for (std::size_t i = 0; i < sweep.points.size(); ++i) {
    const double place = 8 * (std::log10(sweep.points[i].c) + 6);
    EXPECT_NEAR(place, std::round(place), 1e-9);
    if (sweep.points[i].accuracy > best) best = sweep.points[i].accuracy, smallest = sweep.points[i].c;
    if (i > 0) neighbours |= sweep.points[i].c / sweep.points[i - 1].c < 1.34;  // an eighth of a decade
  }
  EXPECT_EQ(sweep.best, smallest);
  EXPECT_TRUE(neighbours);
}

TEST(LinearProbe, RefusesWhatDoesNotFit) {
  const Tensor x = ones({3, 2});
  EXPECT_NE(error_of([&] {
              fit_logistic_regression(x, Labels{0, 1}, 2);
            }).find("3 rows of features and 2 labels"),
            std::string::npos);
  EXPECT_NE(error_of([&] { fit_logistic_regression(x, Labels{0, 1, 2}, 2); }).find("a label is 2"), std::string::npos);
  EXPECT_NE(error_of([&] {
              fit_logistic_regression(x, Labels{1, 1, 1}, 2);
            }).find("all 3 rows are of one class"),
            std::string::npos);
  EXPECT_NE(error_of([&] {
              fit_logistic_regression(full({3, 2}, NAN), Labels{0, 1, 1}, 2);
            }).find("not a finite number"),
            std::string::npos);
}

}  // namespace
}  // namespace fovea::eval
