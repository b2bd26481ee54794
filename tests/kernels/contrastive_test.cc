#include "fovea/kernels/contrastive.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "fovea/core/parallel.h"
#include "fovea/kernels/contrastive_reference.h"
#include "fovea/testing/gradcheck.h"
#include "guarded.h"

namespace fovea::kernels {
namespace {

using fovea::testing::for_each_isa;
using fovea::testing::Guarded;

// Features of a block of pairs in f32 and, the same numbers, in f64.
struct Block {
  std::int64_t rows, columns, dim, offset;
  Guarded a, b;
  std::vector<double> a64, b64;

  Block(std::int64_t r, std::int64_t c, std::int64_t d, std::int64_t o)
      : rows(r), columns(c), dim(d), offset(o), a(r * d, 1), b(c * d, 2), a64(a.wide()), b64(b.wide()) {}

  std::string name() const {
    return std::to_string(rows) + " x " + std::to_string(columns) + " x " + std::to_string(dim);
  }
  ContrastivePairs<float> narrow(double scale, double bias) {
    return {a.data(), b.data(), rows, columns, dim, offset, scale, bias};
  }
  ContrastivePairs<double> wide(double scale, double bias) const {
    return {a64.data(), b64.data(), rows, columns, dim, offset, scale, bias};
  }
};

std::size_t size(std::int64_t n) { return static_cast<std::size_t>(n); }

double largest(const std::vector<double>& x) {
  double result = 0;
  for (const double v : x) result = std::max(result, std::abs(v));
  return result;
}

struct Gradients {
  std::vector<double> a, b;
  double scale, bias;
};

// Compares gradients on every instruction set, written and added, with dots given and not. run(dots, out) computes.
template <class Run>
void expect_gradients(Block& block, float* dots, const Gradients& expected, Run&& run) {
  for (float* given : {static_cast<float*>(nullptr), dots}) {
    for (const bool accumulate : {false, true}) {
      Guarded da(block.rows * block.dim, 5), db(block.columns * block.dim, 6);
      std::vector<double> a = expected.a, b = expected.b;
      for (std::size_t i = 0; accumulate && i < a.size(); ++i) a[i] += da.wide()[i];
      for (std::size_t i = 0; accumulate && i < b.size(); ++i) b[i] += db.wide()[i];
      ContrastiveGradients<float> out{{da.data(), accumulate}, {db.data(), accumulate}};
      run(given, out);
      EXPECT_LE(da.difference(a), 1e-5 * (largest(a) + 0.1));
      EXPECT_LE(db.difference(b), 1e-5 * (largest(b) + 0.1));
      EXPECT_NEAR(out.scale, expected.scale, 1e-5 * (1 + std::abs(expected.scale)));
      EXPECT_NEAR(out.bias, expected.bias, 1e-6 * (static_cast<double>(block.rows) + std::abs(expected.bias)));
    }
  }
}

void check_info_nce(Block block, bool columns_too, double smoothing) {
  const double scale = 1.5;
  std::vector<double> rows64(size(block.rows)), columns64(size(block.columns)), labels64(size(block.rows));
  info_nce_forward_reference(block.wide(scale, 0), rows64.data(), columns_too ? columns64.data() : nullptr,
                             labels64.data());
  const InfoNceTerms<double> terms64{rows64.data(), columns_too ? columns64.data() : nullptr, 0.3, -0.7, smoothing};
  Gradients expected{std::vector<double>(block.a64.size()), std::vector<double>(block.b64.size()), 0, 0};
  ContrastiveGradients<double> out64{{expected.a.data()}, {expected.b.data()}};
  info_nce_backward_reference(block.wide(scale, 0), terms64, out64);
  expected.scale = out64.scale;
  expected.bias = out64.bias;

  for_each_isa([&](const std::string& isa) {
    SCOPED_TRACE(isa + " " + block.name());
    Guarded rows(block.rows), columns(block.columns), labels(block.rows), dots(block.rows * block.columns);
    for (float* kept : {static_cast<float*>(nullptr), dots.data()}) {
      info_nce_forward_f32(block.narrow(scale, 0), rows.data(), columns_too ? columns.data() : nullptr, labels.data(),
                           kept);
      EXPECT_LE(rows.difference(rows64), 1e-5 * (1 + largest(rows64)));
      if (columns_too) {
        EXPECT_LE(columns.difference(columns64), 1e-5 * (1 + largest(columns64)));
      }
      EXPECT_LE(labels.difference(labels64), 1e-5 * (1 + largest(labels64)));
    }
    EXPECT_TRUE(dots.intact());
    const InfoNceTerms<float> terms{rows.data(), columns_too ? columns.data() : nullptr, 0.3, -0.7, smoothing};
    expect_gradients(block, dots.data(), expected, [&](const float* given, ContrastiveGradients<float>& out) {
      info_nce_backward_f32(block.narrow(scale, 0), terms, given, out);
    });
  });
}

TEST(InfoNceKernel, MatchesTheReferenceForEveryTailLength) {
  for (std::int64_t n = 1; n <= 35; ++n) check_info_nce({n, n, 3, 0}, true, n % 2 ? 0.1 : 0.0);
}

TEST(InfoNceKernel, MatchesTheReferenceForBlocksOfRows) {
  check_info_nce({5, 20, 7, 0}, false, 0);
  check_info_nce({5, 20, 7, 15}, false, 0.1);
  check_info_nce({70, 131, 4, 33}, false, 0.1);
}

TEST(InfoNceKernel, MatchesTheReferenceAcrossTiles) {
  check_info_nce({1040, 1040, 3, 0}, true, 0.1);
  check_info_nce({60, 1100, 5, 1020}, false, 0);
}

TEST(PairSigmoidKernel, MatchesTheReference) {
  const double scale = 1.5, bias = -0.8, weight = 0.4;
  for (const auto& [rows, columns, offset] : std::vector<std::array<std::int64_t, 3>>{
           {1, 1, 0}, {7, 7, 0}, {33, 40, 7}, {67, 67, 0}, {1026, 1026, 0}, {30, 1100, 1010}}) {
    Block block(rows, columns, 5, offset);
    const double expected_sum = pair_sigmoid_forward_reference(block.wide(scale, bias));
    Gradients expected{std::vector<double>(block.a64.size()), std::vector<double>(block.b64.size()), 0, 0};
    ContrastiveGradients<double> out64{{expected.a.data()}, {expected.b.data()}};
    pair_sigmoid_backward_reference(block.wide(scale, bias), weight, out64);
    expected.scale = out64.scale;
    expected.bias = out64.bias;
    for_each_isa([&](const std::string& isa) {
      SCOPED_TRACE(isa + " " + block.name());
      Guarded dots(rows * columns);
      for (float* kept : {static_cast<float*>(nullptr), dots.data()}) {
        EXPECT_NEAR(pair_sigmoid_forward_f32(block.narrow(scale, bias), kept), expected_sum, 1e-6 * expected_sum);
      }
      EXPECT_TRUE(dots.intact());
      expect_gradients(block, dots.data(), expected, [&](const float* given, ContrastiveGradients<float>& out) {
        pair_sigmoid_backward_f32(block.narrow(scale, bias), weight, given, out);
      });
    });
  }
}

// One array of features against itself collects both gradients.
TEST(InfoNceKernel, GradientsOfOneSetOfFeaturesAddUp) {
  Block block(1100, 1100, 4, 0);
  auto pairs = block.narrow(1, 0);
  pairs.b = pairs.a;
  Guarded rows(1100), columns(1100), labels(1100), da(4400), db(4400), sum(4400, 3);
  info_nce_forward_f32(pairs, rows.data(), columns.data(), labels.data(), nullptr);
  const InfoNceTerms<float> terms{rows.data(), columns.data(), 1, 1, 0};
  ContrastiveGradients<float> apart{{da.data()}, {db.data()}}, together{{sum.data(), false}, {sum.data(), true}};
  info_nce_backward_f32(pairs, terms, nullptr, apart);
  info_nce_backward_f32(pairs, terms, nullptr, together);
  std::vector<double> expected = da.wide();
  for (std::size_t i = 0; i < expected.size(); ++i) expected[i] += db.wide()[i];
  EXPECT_LE(sum.difference(expected), 1e-5 * largest(expected));
}

// Logits far apart, within rows and between them, neither overflow nor vanish.
TEST(InfoNceKernel, LargeLogitsStayExact) {
  Block block(80, 80, 2, 0);
  const double scale = 400;
  std::vector<double> rows64(80), columns64(80), labels64(80);
  info_nce_forward_reference(block.wide(scale, 0), rows64.data(), columns64.data(), labels64.data());
  for_each_isa([&](const std::string& isa) {
    Guarded rows(80), columns(80), labels(80);
    info_nce_forward_f32(block.narrow(scale, 0), rows.data(), columns.data(), labels.data(), nullptr);
    EXPECT_LE(rows.difference(rows64), 1e-6 * largest(rows64)) << isa;
    EXPECT_LE(columns.difference(columns64), 1e-6 * largest(columns64)) << isa;
  });
}

TEST(InfoNceKernel, BitsDoNotDependOnTheThreads) {
  Block block(1200, 1200, 24, 0);
  const auto run = [&](int threads) {
    const int before = num_threads();
    set_num_threads(threads);
    std::vector<float> rows(1200), columns(1200), labels(1200), da(block.a64.size()), db(block.b64.size());
    info_nce_forward_f32(block.narrow(1, 0), rows.data(), columns.data(), labels.data(), nullptr);
    ContrastiveGradients<float> out{{da.data()}, {db.data()}};
    info_nce_backward_f32(block.narrow(1, 0), {rows.data(), columns.data(), 1, 1, 0.1}, nullptr, out);
    set_num_threads(before);
    rows.insert(rows.end(), columns.begin(), columns.end());
    rows.insert(rows.end(), da.begin(), da.end());
    rows.insert(rows.end(), db.begin(), db.end());
    return std::pair(rows, out.scale);
  };
  const auto one = run(1);
  for (const int threads : {2, 5}) EXPECT_EQ(run(threads), one);
}

}  // namespace
}  // namespace fovea::kernels
