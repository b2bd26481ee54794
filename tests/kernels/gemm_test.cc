#include "fovea/kernels/gemm.h"

#include <gtest/gtest.h>

#include <Eigen/Dense>
#include <array>

#include "fovea/kernels/gemm_reference.h"
#include "fovea/tensor/factory.h"
#include "fovea/tensor/reduce.h"
#include "fovea/testing/gradcheck.h"

namespace fovea {
namespace {

Tensor normal(Shape shape, std::uint64_t seed) { return random_normal(shape, RngKey{seed}); }

// Product by gemm_f32 and by the f64 reference on the same numbers; the relative error between them.
double product_error(std::int64_t m, std::int64_t n, std::int64_t k, bool ta, bool tb, Activation activation,
                     bool extras, bool accumulate) {
  const Tensor a = normal(ta ? Shape{k, m} : Shape{m, k}, 1), b = normal(tb ? Shape{n, k} : Shape{k, n}, 2);
  const Tensor bias = normal({n}, 3), residual = normal({m, n}, 4);
  Tensor c = normal({m, n}, 5), pre = zeros({m, n});
  Tensor wide_c = c.to(DType::f64), wide_pre = zeros({m, n}, DType::f64);
  const Tensor wide_a = a.to(DType::f64), wide_b = b.to(DType::f64), wide_bias = bias.to(DType::f64),
               wide_residual = residual.to(DType::f64);
  kernels::Epilogue<float> e{.activation = activation, .accumulate = accumulate};
  kernels::Epilogue<double> wide{.activation = activation, .accumulate = accumulate};
  if (extras) {
    e.bias = bias.data<float>(), e.preactivation = pre.mutable_data<float>(), e.residual = residual.data<float>();
    wide.bias = wide_bias.data<double>(), wide.preactivation = wide_pre.mutable_data<double>();
    wide.residual = wide_residual.data<double>();
  }
  kernels::gemm_f32(m, n, k, {a.data<float>(), ta ? m : k, ta}, {b.data<float>(), tb ? k : n, tb},
                    c.mutable_data<float>(), n, e);
  kernels::gemm_reference<double>(m, n, k, {wide_a.data<double>(), ta ? m : k, ta},
                                  {wide_b.data<double>(), tb ? k : n, tb}, wide_c.mutable_data<double>(), n, wide);
  return std::max(testing::relative_error(c, wide_c, 1e-6), testing::relative_error(pre, wide_pre, 1e-6));
}

TEST(Gemm, EqualsTheReferenceAtEveryTailInAllTransposes) {
  testing::for_each_isa([](const std::string& isa) {
    for (std::int64_t size = 1; size <= 34; ++size) {
      for (int transposes = 0; transposes < 4; ++transposes) {
        const std::int64_t m = size, n = 35 - size, k = 1 + size * 7 % 19;
        EXPECT_LT(product_error(m, n, k, transposes & 1, transposes & 2, Activation::none, false, false), 1e-5)
            << isa << " m=" << m << " n=" << n << " k=" << k << " transposes=" << transposes;
      }
    }
  });
}

TEST(Gemm, EqualsTheReferenceAcrossBlocks) {
  testing::for_each_isa([](const std::string& isa) {
    for (int transposes = 0; transposes < 4; ++transposes) {
      EXPECT_LT(product_error(203, 67, 1100, transposes & 1, transposes & 2, Activation::gelu, true, false), 1e-5)
          << isa;
      EXPECT_LT(product_error(203, 67, 1100, transposes & 1, transposes & 2, Activation::none, false, true), 1e-5)
          << isa;
    }
  });
}

// Columns that fill one to eleven vectors of any set, with few rows (B is then read in place) and many.
TEST(Gemm, EqualsTheReferenceAtEveryNumberOfPanels) {
  testing::for_each_isa([](const std::string& isa) {
    for (std::int64_t vectors = 1; vectors <= 11; ++vectors) {
      for (const std::int64_t m : {5, 171}) {
        EXPECT_LT(product_error(m, 16 * vectors, 40, false, false, Activation::none, false, vectors % 2 == 0), 1e-5)
            << isa << " m=" << m << " n=" << 16 * vectors;
        EXPECT_LT(product_error(m, 16 * vectors, 790, true, false, Activation::relu, true, false), 1e-5)
            << isa << " m=" << m << " n=" << 16 * vectors;
      }
    }
  });
}

TEST(Gemm, EqualsEigen) {
  using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const std::int64_t m = 131, n = 97, k = 1030;
  const Tensor a = normal({m, k}, 1), b = normal({k, n}, 2);
  Tensor c({m, n});
  kernels::gemm_f32(m, n, k, {a.data<float>(), k}, {b.data<float>(), n}, c.mutable_data<float>(), n);
  const Eigen::MatrixXd expected = Eigen::Map<const Matrix, Eigen::Unaligned>(a.data<float>(), m, k).cast<double>() *
                                   Eigen::Map<const Matrix, Eigen::Unaligned>(b.data<float>(), k, n).cast<double>();
  const Eigen::MatrixXd ours = Eigen::Map<const Matrix, Eigen::Unaligned>(c.data<float>(), m, n).cast<double>();
  EXPECT_LT((ours - expected).cwiseAbs().maxCoeff() / expected.cwiseAbs().maxCoeff(), 1e-5);
}

TEST(Gemm, AppliesEveryEpilogue) {
  testing::for_each_isa([](const std::string& isa) {
    for (Activation activation : {Activation::none, Activation::relu, Activation::gelu, Activation::gelu_tanh,
                                  Activation::quick_gelu, Activation::silu}) {
      EXPECT_LT(product_error(7, 37, 13, false, true, activation, true, false), 1e-5)
          << isa << " activation " << static_cast<int>(activation);
    }
  });
}

TEST(Gemm, AnEmptySumIsTheEpilogueOfZero) {
  const Tensor bias = from_values<float>({3}, {1, 2, 3});
  Tensor c = full({2, 3}, 9);
  kernels::gemm_f32(2, 3, 0, {}, {}, c.mutable_data<float>(), 3, {.bias = bias.data<float>()});
  EXPECT_EQ(c.at(0), 1);
  EXPECT_EQ(c.at(5), 3);
}

TEST(Gemm, BitsDoNotDependOnTheNumberOfThreads) {
  const Tensor a = normal({301, 1030}, 1), b = normal({1030, 77}, 2);
  std::array<Tensor, 2> results{zeros({301, 77}), zeros({301, 77})};
  const int before = num_threads();
  for (int threads = 1; threads <= 2; ++threads) {
    set_num_threads(threads);
    kernels::gemm_f32(301, 77, 1030, {a.data<float>(), 1030}, {b.data<float>(), 77},
                      results[static_cast<std::size_t>(threads - 1)].mutable_data<float>(), 77);
  }
  set_num_threads(before);
  EXPECT_EQ(count_different_bits(results[0], results[1]), 0);
}

}  // namespace
}  // namespace fovea
