#include "fovea/kernels/reduce.h"

#include <gtest/gtest.h>

#include <cmath>

#include "fovea/core/parallel.h"
#include "fovea/kernels/reduce_reference.h"
#include "fovea/tensor/factory.h"
#include "fovea/tensor/reduce.h"
#include "fovea/testing/gradcheck.h"

namespace fovea {
namespace {

struct Extents {
  std::int64_t outer, count, inner;
};

// All reductions of random numbers with f64 references.
void compare(const Extents& e, const std::string& isa) {
  const std::string what = concat(isa, " (", e.outer, ", ", e.count, ", ", e.inner, ")");
  const Tensor x = random_normal({e.outer, e.count, e.inner}, RngKey{1}, 0.5),
               z = random_normal(x.shape(), RngKey{2}, 0.5);
  const Tensor wide_x = x.to(DType::f64), wide_z = z.to(DType::f64);
  const float *px = x.data<float>(), *pz = z.data<float>();
  const double *wx = wide_x.data<double>(), *wz = wide_z.data<double>();
  for (bool accumulate : {false, true}) {
    for (bool dot : {false, true}) {
      Tensor y = random_normal({e.outer, e.inner}, RngKey{3}), wide = y.to(DType::f64);
      float* out = y.mutable_data<float>();
      if (dot) {
        kernels::dot_axis_f32(px, pz, e.outer, e.count, e.inner, out, accumulate);
      } else {
        kernels::sum_axis_f32(px, e.outer, e.count, e.inner, out, accumulate);
      }
      kernels::sum_axis_reference(wx, dot ? wz : nullptr, e.outer, e.count, e.inner, wide.mutable_data<double>(),
                                  accumulate);
      EXPECT_LT(testing::relative_error(y, wide, 1), 2e-6) << what << " dot " << dot << " accumulate " << accumulate;
    }
  }
  Tensor y({e.outer, e.inner}), wide({e.outer, e.inner}, DType::f64);
  kernels::max_axis_f32(px, e.outer, e.count, e.inner, y.mutable_data<float>());
  kernels::max_axis_reference(wx, e.outer, e.count, e.inner, wide.mutable_data<double>());
  EXPECT_EQ(max_abs_difference(y, wide), 0) << what;
}

TEST(ReduceKernelTest, EqualsTheReferenceAtEveryTail) {
  testing::for_each_isa([](const std::string& isa) {
    for (std::int64_t n = 1; n <= 34; ++n) {
      compare({3, n, 1}, isa);
      compare({2, 5, n}, isa);
      compare({1, n, 67}, isa);
    }
  });
}

TEST(ReduceKernelTest, EqualsTheReferenceAcrossBlocks) {
  testing::for_each_isa([](const std::string& isa) {
    for (const Extents& e : {Extents{2, 5001, 1}, {1, 300, 2100}, {1, 20000, 3}, {3, 129, 40}}) compare(e, isa);
  });
}

// 2048 f32 numbers of one block, then block sums: a plain f32 loop would be off by about 1e-3 here.
TEST(ReduceKernelTest, LongSumsStayPrecise) {
  const std::int64_t n = 5000000;
  const Tensor x = full({n}, 0.1);
  Tensor y({1});
  testing::for_each_isa([&](const std::string& isa) {
    kernels::sum_axis_f32(x.data<float>(), 1, n, 1, y.mutable_data<float>(), false);
    EXPECT_NEAR(y.at(0) / (static_cast<double>(n) * static_cast<double>(0.1f)), 1, 1e-6) << isa;
  });
}

TEST(ReduceKernelTest, BitsDoNotDependOnTheNumberOfThreads) {
  const int threads = num_threads();
  const Tensor x = random_normal({1000, 301}, RngKey{1});
  const auto reduced = [&](int count) {
    set_num_threads(count);
    Tensor y({302});
    kernels::column_sum_f32(x.data<float>(), 1000, 301, y.mutable_data<float>(), false);
    kernels::sum_axis_f32(x.data<float>(), 1, x.numel(), 1, y.mutable_data<float>() + 301, false);
    return y;
  };
  const Tensor one = reduced(1), three = reduced(3);
  const double norm = kernels::squared_norm_f32(x.data<float>(), x.numel());
  set_num_threads(1);
  EXPECT_EQ(kernels::squared_norm_f32(x.data<float>(), x.numel()), norm);
  set_num_threads(threads);
  EXPECT_EQ(count_different_bits(one, three), 0);
}

TEST(ReduceKernelTest, MaximumKeepsNaNWhereverItStands) {
  testing::for_each_isa([](const std::string& isa) {
    for (std::int64_t at : {0, 3, 17, 40, 72}) {
      Tensor x = ones({73}), row({1}), columns({73});
      x.mutable_data<float>()[at] = std::nanf("");
      kernels::max_axis_f32(x.data<float>(), 1, 73, 1, row.mutable_data<float>());
      EXPECT_TRUE(std::isnan(row.at(0))) << isa << " " << at;
      Tensor stacked = ones({3, 73});
      stacked.mutable_data<float>()[73 + at] = std::nanf("");
      kernels::max_axis_f32(stacked.data<float>(), 1, 3, 73, columns.mutable_data<float>());
      EXPECT_TRUE(std::isnan(columns.at(at))) << isa << " " << at;
    }
  });
}

TEST(ReduceKernelTest, NothingSumsToZero) {
  Tensor y = ones({2, 3});
  kernels::sum_axis_f32(nullptr, 2, 0, 3, y.mutable_data<float>(), true);
  EXPECT_EQ(sum(y), 6);
  kernels::sum_axis_f32(nullptr, 2, 0, 3, y.mutable_data<float>(), false);
  EXPECT_EQ(sum(y), 0);
  EXPECT_EQ(kernels::squared_norm_f32(nullptr, 0), 0);
}

TEST(ReduceKernelTest, SquaredNormIsExactWhereF32WouldOverflow) {
  testing::for_each_isa([](const std::string& isa) {
    for (std::int64_t n = 1; n <= 33; ++n) {
      const Tensor x = full({n}, 1e25);
      const double value = x.at(0);
      EXPECT_NEAR(kernels::squared_norm_f32(x.data<float>(), n) / (static_cast<double>(n) * value * value), 1, 1e-14)
          << isa;
    }
  });
}

}  // namespace
}  // namespace fovea
