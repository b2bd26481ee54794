#include "fovea/kernels/attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "fovea/core/rng.h"
#include "fovea/kernels/attention_reference.h"
#include "fovea/testing/gradcheck.h"

namespace fovea::kernels {
namespace {

constexpr float untouched = 12345;

// Heads that lie apart in wide rows, so that whatever is written between them shows.
struct Matrix {
  std::int64_t tokens, width, stride;
  std::vector<float> values;

  Matrix(std::int64_t token_count, std::int64_t used_width, std::uint64_t seed)
      : tokens(token_count), width(used_width), stride(used_width + 3) {
    Rng rng(seed);
    for (std::int64_t i = 0; i < tokens * stride; ++i) {
      values.push_back(i % stride < width ? static_cast<float>(rng.normal()) : untouched);
    }
  }
  HeadRows<float> rows() const { return {values.data(), stride}; }
  HeadOutput<float> output(bool accumulate) { return {values.data(), stride, accumulate}; }
  bool gaps_untouched() const {
    for (std::int64_t i = 0; i < tokens * stride; ++i) {
      if (i % stride >= width && values[static_cast<std::size_t>(i)] != untouched) return false;
    }
    return true;
  }
};

struct Wide {
  std::int64_t stride;
  std::vector<double> values;
  explicit Wide(const Matrix& m) : stride(m.stride), values(m.values.begin(), m.values.end()) {}
  HeadRows<double> rows() const { return {values.data(), stride}; }
  HeadOutput<double> output(bool accumulate) { return {values.data(), stride, accumulate}; }
};

double largest_difference(const Matrix& a, const Wide& b) {
  double largest = 0;
  for (std::size_t i = 0; i < b.values.size(); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(a.values[i]) - b.values[i]));
  }
  return largest;
}

class AttentionKernel : public ::testing::TestWithParam<std::tuple<std::int64_t, AttentionKind, bool>> {};

TEST_P(AttentionKernel, MatchesTheReferenceInStridedMatrices) {
  const auto [head_dim, kind, accumulate] = GetParam();
  const std::vector<std::int64_t> q_offsets{0, 1, 27, 27, 30}, kv_offsets{0, 3, 42, 44, 47};
  const AttentionProblem problem{q_offsets.data(), kv_offsets.data(), 4, 2, head_dim, kind, 0.3};
  const std::int64_t width = 2 * head_dim;
  const Matrix q(30, width, 1), k(47, width, 2), v(47, width, 3), dout(30, width, 4), old_q(30, width, 5),
      old_k(47, width, 6);
  Wide out64(old_q), dq64(old_q), dk64(old_k), dv64(old_k);
  std::vector<double> logsumexp64(60);
  attention_forward_reference<double>(problem, Wide(q).rows(), Wide(k).rows(), Wide(v).rows(), out64.output(accumulate),
                                      logsumexp64.data());
  attention_backward_reference<double>(problem, Wide(q).rows(), Wide(k).rows(), Wide(v).rows(), Wide(dout).rows(),
                                       dq64.output(accumulate), dk64.output(accumulate), dv64.output(accumulate));
  fovea::testing::for_each_isa([&](const std::string& isa) {
    Matrix out(old_q), result(old_q), dq(old_q), dk(old_k), dv(old_k);
    std::vector<float> logsumexp(60);
    attention_forward_f32(problem, q.rows(), k.rows(), v.rows(), out.output(accumulate), logsumexp.data());
    EXPECT_LT(largest_difference(out, out64), 2e-5) << isa;
    for (std::size_t i = 0; i < logsumexp.size(); ++i) {
      EXPECT_NEAR(static_cast<double>(logsumexp[i]), logsumexp64[i], 2e-5) << isa << " " << i;
    }
    attention_forward_f32(problem, q.rows(), k.rows(), v.rows(), result.output(false), logsumexp.data());
    attention_backward_f32(problem, q.rows(), k.rows(), v.rows(), dout.rows(), logsumexp.data(), dq.output(accumulate),
                           dk.output(accumulate), dv.output(accumulate));
    EXPECT_LT(largest_difference(dq, dq64), 1e-4) << isa;
    EXPECT_LT(largest_difference(dk, dk64), 1e-4) << isa;
    EXPECT_LT(largest_difference(dv, dv64), 1e-4) << isa;
    EXPECT_TRUE(out.gaps_untouched() && dq.gaps_untouched() && dk.gaps_untouched() && dv.gaps_untouched()) << isa;
  });
}

std::string case_name(const ::testing::TestParamInfo<AttentionKernel::ParamType>& test) {
  const auto [head_dim, kind, accumulate] = test.param;
  return std::to_string(head_dim) + (kind == AttentionKind::causal ? "_causal" : "_full") + (accumulate ? "_add" : "");
}

INSTANTIATE_TEST_SUITE_P(Shapes, AttentionKernel,
                         ::testing::Combine(::testing::Values(1, 3, 8, 17, 33),
                                            ::testing::Values(AttentionKind::full, AttentionKind::causal),
                                            ::testing::Bool()),
                         case_name);

TEST(AttentionKernelScores, LargeScoresDoNotOverflow) {
  const std::vector<std::int64_t> offsets{0, 2};
  const AttentionProblem problem{offsets.data(), offsets.data(), 1, 1, 1, AttentionKind::full, 1};
  const std::vector<float> q{1e4f, -1e4f}, k{1e4f, -1e4f}, v{3, 5};
  fovea::testing::for_each_isa([&](const std::string& isa) {
    std::vector<float> out(2), logsumexp(2);
    attention_forward_f32(problem, {q.data(), 1}, {k.data(), 1}, {v.data(), 1}, {out.data(), 1}, logsumexp.data());
    EXPECT_EQ(out, (std::vector<float>{3, 5})) << isa;
    EXPECT_EQ(logsumexp, (std::vector<float>{1e8f, 1e8f})) << isa;
  });
}

TEST(AttentionKernelScores, NanReachesTheResult) {
  const std::vector<std::int64_t> offsets{0, 3};
  const AttentionProblem problem{offsets.data(), offsets.data(), 1, 1, 1, AttentionKind::full, 1};
  const std::vector<float> q{1, 2, 3}, k{0, std::nanf(""), 0}, v{3, 5, 7};
  fovea::testing::for_each_isa([&](const std::string& isa) {
    std::vector<float> out(3), logsumexp(3);
    attention_forward_f32(problem, {q.data(), 1}, {k.data(), 1}, {v.data(), 1}, {out.data(), 1}, logsumexp.data());
    for (float y : out) EXPECT_TRUE(std::isnan(y)) << isa;
  });
}

}  // namespace
}  // namespace fovea::kernels
