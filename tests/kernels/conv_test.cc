#include "fovea/kernels/conv.h"

#include <gtest/gtest.h>

#include "fovea/kernels/conv_reference.h"
#include "fovea/tensor/factory.h"
#include "fovea/tensor/reduce.h"
#include "fovea/testing/gradcheck.h"

namespace fovea {
namespace {

using kernels::Conv2dShape;

struct Operands {
  Tensor x, w, bias, dy, dx, dw, y;
  Operands(const Conv2dShape& s)  // NOLINT
      : x(random_normal({s.n, s.h, s.w, s.c}, RngKey{1})),
        w(random_normal({s.o, s.kh, s.kw, s.group_c()}, RngKey{2})),
        bias(random_normal({s.o}, RngKey{3})),
        dy(random_normal({s.n, s.out_h(), s.out_w(), s.o}, RngKey{4})),
        dx(random_normal(x.shape(), RngKey{5})),
        dw(random_normal(w.shape(), RngKey{6})),
        y(dy.shape()) {}
  Operands wide() const {
    Operands copy = *this;
    for (Tensor* t : {&copy.x, &copy.w, &copy.bias, &copy.dy, &copy.dx, &copy.dw, &copy.y}) *t = t->to(DType::f64);
    return copy;
  }
};

void expect_equal_to_reference(const Conv2dShape& s, bool accumulate, const std::string& isa) {
  Operands a(s);
  Operands b = a.wide();
  kernels::conv2d_f32(s, a.x.data<float>(), a.w.data<float>(), a.bias.data<float>(), a.y.mutable_data<float>());
  kernels::conv2d_input_grad_f32(s, a.dy.data<float>(), a.w.data<float>(), a.dx.mutable_data<float>(), accumulate);
  kernels::conv2d_weight_grad_f32(s, a.x.data<float>(), a.dy.data<float>(), a.dw.mutable_data<float>(), accumulate);
  kernels::conv2d_reference(s, b.x.data<double>(), b.w.data<double>(), b.bias.data<double>(),
                            b.y.mutable_data<double>());
  kernels::conv2d_input_grad_reference(s, b.dy.data<double>(), b.w.data<double>(), b.dx.mutable_data<double>(),
                                       accumulate);
  kernels::conv2d_weight_grad_reference(s, b.x.data<double>(), b.dy.data<double>(), b.dw.mutable_data<double>(),
                                        accumulate);
  const std::string where =
      concat(isa, " n=", s.n, " h=", s.h, " w=", s.w, " c=", s.c, " o=", s.o, " k=", s.kh, "x", s.kw,
             " stride=", s.stride, " padding=", s.padding, "+", s.end_padding, " groups=", s.groups);
  EXPECT_LT(testing::relative_error(a.y, b.y, 1e-6), 1e-5) << "forward " << where;
  EXPECT_LT(testing::relative_error(a.dx, b.dx, 1e-6), 1e-5) << "input gradient " << where;
  EXPECT_LT(testing::relative_error(a.dw, b.dw, 1e-6), 1e-5) << "weight gradient " << where;
}

TEST(Conv, EqualsTheReferenceForEveryStridePaddingAndFilter) {
  testing::for_each_isa([](const std::string& isa) {
    for (std::int64_t kernel = 1; kernel <= 5; ++kernel) {
      for (std::int64_t stride = 1; stride <= 3; ++stride) {
        for (std::int64_t padding = 0; padding <= 2; ++padding) {
          const Conv2dShape s{2, 7, 9, 5, 6, kernel, std::max<std::int64_t>(1, kernel - 1), stride, padding, 1};
          expect_equal_to_reference(s, kernel % 2 == 0, isa);
        }
      }
    }
  });
}

TEST(Conv, EqualsTheReferenceAtEveryTail) {
  testing::for_each_isa([](const std::string& isa) {
    for (std::int64_t size = 1; size <= 34; ++size) {
      expect_equal_to_reference({1, 4, 5, size, 35 - size, 3, 3, 1, 1, 1}, false, isa);
    }
  });
}

TEST(Conv, EqualsTheReferenceWithGroups) {
  testing::for_each_isa([](const std::string& isa) {
    expect_equal_to_reference({2, 6, 6, 12, 8, 3, 3, 1, 1, 4}, false, isa);
    expect_equal_to_reference({2, 6, 7, 6, 12, 3, 3, 2, 1, 6}, true, isa);  // two filters per channel
    for (std::int64_t channels : {2, 15, 16, 33}) {
      expect_equal_to_reference({3, 7, 6, channels, channels, 3, 3, 1, 1, channels}, false, isa);
      expect_equal_to_reference({3, 7, 6, channels, channels, 5, 3, 2, 2, channels}, true, isa);
    }
  });
}

TEST(Conv, EqualsTheReferenceWithOneFilterPerChannel) {
  testing::for_each_isa([](const std::string& isa) {
    for (std::int64_t kernel : {1, 3, 5, 7}) {
      for (std::int64_t stride : {1, 2, 3}) {
        // Rows with a middle that all taps reach, and images smaller than the filter.
        expect_equal_to_reference({2, 9, 21, 19, 19, kernel, kernel, stride, kernel / 2, 19}, stride == 1, isa);
        expect_equal_to_reference({2, 3, 2, 5, 5, kernel, kernel, stride, kernel / 2, 5}, stride == 2, isa);
        expect_equal_to_reference({1, 8, 12, 3, 3, kernel, 2, stride, 4, 3}, false, isa);
      }
    }
  });
}

TEST(Conv, EqualsTheReferenceWithMorePaddingAtTheEnd) {
  testing::for_each_isa([](const std::string& isa) {
    for (const std::int64_t size : {6, 7, 12}) {  // even sizes whose last window reaches the zeros, and odd ones
      expect_equal_to_reference({2, size, size + 1, 3, 32, 3, 3, 2, 0, 1, 1}, false, isa);
      expect_equal_to_reference({2, size, size + 1, 3, 5, 5, 5, 2, 1, 1, 1}, true, isa);
      expect_equal_to_reference({2, size, size + 1, 20, 32, 3, 3, 2, 0, 1, 1}, true, isa);
      expect_equal_to_reference({2, size, size + 1, 19, 19, 3, 3, 2, 0, 19, 1}, false, isa);
      expect_equal_to_reference({2, size, size + 1, 33, 33, 5, 5, 2, 1, 33, 1}, true, isa);
      expect_equal_to_reference({1, size, size, 7, 9, 1, 1, 1, 0, 1, 1}, false, isa);
    }
  });
}

TEST(Conv, EqualsTheReferenceAcrossBlocks) {
  testing::for_each_isa([](const std::string& isa) {
    expect_equal_to_reference({3, 14, 14, 70, 66, 3, 3, 1, 1, 1}, false, isa);
    expect_equal_to_reference({3, 14, 14, 30, 96, 3, 3, 1, 1, 1}, true, isa);
    expect_equal_to_reference({2, 9, 11, 20, 48, 3, 2, 2, 1, 1}, false, isa);
    expect_equal_to_reference({3, 13, 12, 3, 32, 5, 5, 2, 2, 1}, true, isa);
    expect_equal_to_reference({2, 6, 7, 34, 64, 3, 3, 1, 1, 2}, false, isa);
    expect_equal_to_reference({0, 6, 7, 16, 16, 3, 3, 1, 1, 1}, false, isa);
    expect_equal_to_reference({2, 8, 8, 600, 20, 1, 1, 2, 0, 1}, false, isa);
    expect_equal_to_reference({2, 8, 8, 600, 20, 1, 1, 1, 0, 1}, true, isa);
    expect_equal_to_reference({2, 32, 32, 3, 24, 8, 8, 8, 0, 1}, true, isa);
  });
}

void expect_bits_at_any_thread_count(const Conv2dShape& s) {
  const int before = num_threads();
  Operands one(s), two(s);
  for (int threads = 1; threads <= 2; ++threads) {
    set_num_threads(threads);
    Operands& a = threads == 1 ? one : two;
    kernels::conv2d_f32(s, a.x.data<float>(), a.w.data<float>(), nullptr, a.y.mutable_data<float>());
    kernels::conv2d_input_grad_f32(s, a.dy.data<float>(), a.w.data<float>(), a.dx.mutable_data<float>(), false);
    kernels::conv2d_weight_grad_f32(s, a.x.data<float>(), a.dy.data<float>(), a.dw.mutable_data<float>(), false);
  }
  set_num_threads(before);
  EXPECT_EQ(count_different_bits(one.y, two.y), 0);
  EXPECT_EQ(count_different_bits(one.dx, two.dx), 0);
  EXPECT_EQ(count_different_bits(one.dw, two.dw), 0);
}

TEST(Conv, BitsDoNotDependOnTheNumberOfThreads) {
  expect_bits_at_any_thread_count({5, 16, 16, 24, 40, 3, 3, 2, 1, 1});
  expect_bits_at_any_thread_count({5, 16, 16, 24, 48, 3, 3, 1, 1, 1});
  expect_bits_at_any_thread_count({5, 16, 16, 24, 40, 1, 1, 1, 0, 1});
  expect_bits_at_any_thread_count({5, 16, 16, 24, 24, 3, 3, 2, 1, 24});
}

}  // namespace
}  // namespace fovea
