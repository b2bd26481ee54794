#include "fovea/ops/shape.h"

#include <gtest/gtest.h>

#include "../support/error_of.h"
#include "fovea/autograd/backward.h"
#include "fovea/core/parallel.h"
#include "fovea/tensor/factory.h"
#include "fovea/tensor/reduce.h"
#include "fovea/testing/gradcheck.h"

namespace fovea {
namespace {

using testing::check_op;
using testing::normal_inputs;

void expect_passes(const testing::CheckResult& result) { EXPECT_TRUE(result.passed) << result.message; }

using tests::error_of;

// Transpose by coordinates.
Tensor plain_transpose(const Tensor& x, const std::vector<int>& axes) {
  Shape shape;
  for (int axis : axes) shape.push_back(x.dim(axis));
  Tensor y(shape, x.dtype());
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    std::int64_t source = 0;
    for (int a = 0; a < shape.rank(); ++a) {
      source += i / shape.inner(a) % shape[a] * x.shape().inner(axes[static_cast<std::size_t>(a)]);
    }
    y.mutable_data<float>()[i] = x.data<float>()[source];
  }
  return y;
}

TEST(ShapeTest, TransposeEqualsCopyingByCoordinates) {
  const auto expect_equal = [](const Shape& shape, std::initializer_list<int> axes) {
    const Tensor x = random_normal(shape, RngKey{1});
    EXPECT_EQ(count_different_bits(ops::transpose(x, axes).value(), plain_transpose(x, axes)), 0) << to_string(shape);
  };
  expect_equal({1, 1}, {1, 0});
  expect_equal({70, 33}, {1, 0});
  expect_equal({300, 129}, {1, 0});
  for (const Shape& shape : {Shape{3, 4, 5}, {40, 3, 35}, {1, 34, 33}, {33, 1, 2}}) {
    expect_equal(shape, {0, 1, 2});
    expect_equal(shape, {0, 2, 1});
    expect_equal(shape, {1, 0, 2});
    expect_equal(shape, {1, 2, 0});
    expect_equal(shape, {2, 0, 1});
    expect_equal(shape, {2, 1, 0});
  }
  expect_equal({2, 3, 4, 5}, {0, 2, 1, 3});
  expect_equal({2, 3, 4, 5}, {3, 1, 2, 0});
  expect_equal({2, 35, 3, 2, 4}, {4, 2, 0, 3, 1});
}

TEST(ShapeTest, TransposeMatchesNumericGradients) {
  expect_passes(check_op(
      [](std::span<const Var> in) {
        return ops::transpose(in[0], {1, 0});
      },
      normal_inputs({{5, 3}})));
  expect_passes(check_op(
      [](std::span<const Var> in) {
        return ops::transpose(in[0], {2, 0, -2});
      },
      normal_inputs({{2, 3, 4}})));
  expect_passes(check_op(
      [](std::span<const Var> in) {
        return ops::transpose(in[0], {0, 2, 1, 3});
      },
      normal_inputs({{2, 3, 4, 2}})));
}

TEST(ShapeTest, ReshapeIsAViewAndMatchesNumericGradients) {
  const Var x = random_normal({2, 6}, RngKey{1});
  EXPECT_TRUE(ops::reshape(x, {3, 4}).value().shares_storage(x.value()));
  expect_passes(check_op([](std::span<const Var> in) { return ops::reshape(in[0], {3, 4}); }, normal_inputs({{2, 6}})));
}

TEST(ShapeTest, ConcatJoinsAlongAnyAxis) {
  const Var a = from_values<float>({2, 2}, {1, 2, 3, 4}), b = from_values<float>({2, 1}, {5, 6});
  EXPECT_EQ(
      max_abs_difference(ops::concat({a, b, a}, 1).value(), from_values<float>({2, 5}, {1, 2, 5, 1, 2, 3, 4, 6, 3, 4})),
      0);
  EXPECT_EQ(max_abs_difference(ops::concat({a, a}, 0).value(), from_values<float>({4, 2}, {1, 2, 3, 4, 1, 2, 3, 4})),
            0);
}

TEST(ShapeTest, ConcatMatchesNumericGradients) {
  expect_passes(check_op(
      [](std::span<const Var> in) {
        return ops::concat({in[0], in[1], in[0]}, 1);
      },
      normal_inputs({{2, 3, 4}, {2, 1, 4}})));
  expect_passes(
      check_op([](std::span<const Var> in) { return ops::concat(in, -1); }, normal_inputs({{3, 2}, {3, 0}, {3, 5}})));
}

TEST(ShapeTest, SliceTakesARangeOfAnyAxis) {
  const Var x = arange(24, DType::f32).reshape({2, 3, 4});
  EXPECT_EQ(
      max_abs_difference(ops::slice(x, 1, 1, 3).value(),
                         from_values<float>({2, 2, 4}, {4, 5, 6, 7, 8, 9, 10, 11, 16, 17, 18, 19, 20, 21, 22, 23})),
      0);
  EXPECT_TRUE(ops::slice(x, 0, 1, 2).value().shares_storage(x.value()));
  EXPECT_EQ(ops::slice(x, 2, 2, 2).shape(), (Shape{2, 3, 0}));
}

TEST(ShapeTest, SliceAndSplitMatchNumericGradients) {
  for (int axis : {0, 1, -1}) {
    expect_passes(
        check_op([&](std::span<const Var> in) { return ops::slice(in[0], axis, 1, 3); }, normal_inputs({{3, 4, 5}})));
  }
  expect_passes(check_op(
      [](std::span<const Var> in) {
        const std::vector<Var> pieces = ops::split(in[0], {1, 0, 4}, 1);
        return ops::concat({pieces[2], pieces[0], pieces[1], pieces[2]}, 1);
      },
      normal_inputs({{3, 5}})));
}

TEST(ShapeTest, GatherAndScatterAddFollowTheIndex) {
  const Var x = arange(6, DType::f32).reshape({3, 2});
  const Tensor index = from_values<std::int64_t>({4}, {2, 0, 2, 1});
  EXPECT_EQ(max_abs_difference(ops::gather(x, 0, index).value(), from_values<float>({4, 2}, {4, 5, 0, 1, 4, 5, 2, 3})),
            0);
  const Var source = from_values<float>({4, 2}, {1, 2, 3, 4, 5, 6, 7, 8});
  EXPECT_EQ(max_abs_difference(ops::scatter_add(x, 0, index, source).value(),
                               from_values<float>({3, 2}, {3, 5, 9, 11, 10, 13})),
            0);
  EXPECT_EQ(max_abs_difference(x.value(), arange(6, DType::f32).reshape({3, 2})), 0);
}

TEST(ShapeTest, GatherAndScatterAddMatchNumericGradients) {
  const Tensor index = from_values<std::int64_t>({5}, {2, 0, 2, 1, 2});
  for (int axis : {0, 1, 2}) {
    expect_passes(
        check_op([&](std::span<const Var> in) { return ops::gather(in[0], axis, index); }, normal_inputs({{3, 4, 3}})));
  }
  expect_passes(check_op([&](std::span<const Var> in) { return ops::scatter_add(in[0], 1, index, in[1]); },
                         normal_inputs({{2, 3, 3}, {2, 5, 3}})));
  expect_passes(check_op([&](std::span<const Var> in) { return ops::scatter_add(in[0], 0, index, in[1]); },
                         normal_inputs({{3, 300}, {5, 300}})));
}

TEST(ShapeTest, EmptyTensorsPassThrough) {
  const Var x(zeros({0, 3}), true);
  EXPECT_EQ(ops::transpose(x, {1, 0}).shape(), (Shape{3, 0}));
  EXPECT_EQ(ops::concat({x, zeros({2, 3})}, 0).shape(), (Shape{2, 3}));
  const Var none = ops::gather(Var(zeros({2, 3}), true), 0, Tensor({0}, DType::i64));
  EXPECT_EQ(none.shape(), (Shape{0, 3}));
  backward(none, zeros({0, 3}));
  backward(ops::transpose(ops::slice(x, 1, 0, 2), {1, 0}), zeros({2, 0}));
}

TEST(ShapeTest, ErrorsNameBothSides) {
  const Var x = zeros({2, 3});
  EXPECT_EQ(error_of([&] { ops::transpose(x, {0}); }), "[transpose] 1 axes given for (2, 3)");
  EXPECT_EQ(error_of([&] { ops::transpose(x, {0, -2}); }), "[transpose] axis -2 is named twice");
  EXPECT_EQ(error_of([&] { ops::concat({x, zeros({3, 2})}, 0); }), "[concat] (3, 2) does not fit (2, 3) along axis 0");
  EXPECT_EQ(error_of([&] { ops::concat({}, 0); }), "[concat] no tensors to join");
  EXPECT_EQ(error_of([&] { ops::slice(x, 1, 2, 4); }), "[slice] [2, 4) is not a range of axis 1 of (2, 3)");
  EXPECT_EQ(error_of([&] { ops::split(x, {1, 1}, 1); }), "[split] sizes add up to 2, axis 1 of (2, 3) has 3");
  EXPECT_EQ(error_of([&] {
              ops::gather(x, 0, from_values<std::int64_t>({2}, {0, 2}));
            }),
            "[gather] index 2 at position 1 is not in [0, 2)");
  EXPECT_EQ(error_of([&] { ops::gather(x, 0, zeros({2})); }), "[gather] index is f32 (2,), expected i64 (K,)");
  EXPECT_EQ(error_of([&] {
              ops::scatter_add(x, 0, from_values<std::int64_t>({1}, {0}), zeros({2, 3}));
            }),
            "[scatter_add] source is f32 (2, 3), expected f32 (1, 3)");
}

}  // namespace
}  // namespace fovea
