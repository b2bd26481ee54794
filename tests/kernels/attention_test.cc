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

enum class Bias { none, whole, of_first_tokens };

// What queries see, and what else is asked of the kernels.
struct Case {
  std::int64_t head_dim;
  AttentionKind kind;
  bool ranges;
  std::int64_t kv_heads;
  Bias bias;
  bool accumulate;
};

std::string name_of(const Case& c) {
  static const char* const kinds[] = {"full", "causal", "prefix"};
  static const char* const biases[] = {"", "_bias", "_bias_of_first_tokens"};
  return std::to_string(c.head_dim) + "_" + kinds[static_cast<int>(c.kind)] + (c.ranges ? "_ranges" : "") +
         (c.kv_heads == 4 ? "" : "_grouped") + biases[static_cast<int>(c.bias)] + (c.accumulate ? "_add" : "");
}

// Four sequences: a single query, one of several strips, one without queries, one with as many keys as queries.
struct Example {
  std::vector<std::int64_t> q_offsets{0, 1, 102, 102, 105}, kv_offsets{0, 3, 120, 122, 125};
  std::vector<std::int32_t> prefix_lengths{0, 90, 1, 3}, key_begin, key_end;
  std::vector<float> bias;
  AttentionProblem problem;
  std::int64_t bias_queries, bias_keys;

  explicit Example(const Case& c)
      : problem{q_offsets.data(), kv_offsets.data(), 4, 4, c.head_dim, c.kind, 0.3, c.kv_heads, prefix_lengths.data()},
        bias_queries(c.bias == Bias::whole ? 101 : 20),
        bias_keys(c.bias == Bias::whole ? 117 : 37) {
    Rng rng(7);
    for (std::int64_t b = 0; c.ranges && b < 4; ++b) {
      for (std::int64_t i = 0; i < problem.queries(b); ++i) {
        // Ranges in no order; stretches of queries, more than a tile, that see nothing.
        const bool empty = i / 9 % 4 == 1 || i % 5 == 3;
        const auto begin = static_cast<std::int32_t>(rng.below(problem.keys(b)));
        const std::int64_t left = problem.keys(b) - begin;
        key_begin.push_back(begin);
        key_end.push_back(empty ? begin : begin + 1 + static_cast<std::int32_t>(rng.below(left)));
      }
    }
    if (c.ranges) {
      problem.key_begin = key_begin.data();
      problem.key_end = key_end.data();
    }
    for (std::int64_t i = 0; c.bias != Bias::none && i < 4 * bias_queries * bias_keys; ++i) {
      bias.push_back(static_cast<float>(rng.normal()));
    }
  }
  template <class T>
  AttentionBias<T> bias_of(const std::vector<T>& values) const {
    if (values.empty()) return {};
    return {values.data(), bias_queries, bias_keys};
  }
};

class AttentionKernel : public ::testing::TestWithParam<Case> {};

TEST_P(AttentionKernel, MatchesTheReferenceInStridedMatrices) {
  const Case& c = GetParam();
  const Example example(c);
  const AttentionProblem& problem = example.problem;
  const std::int64_t width = 4 * c.head_dim, kv_width = c.kv_heads * c.head_dim;
  const Matrix q(105, width, 1), k(125, kv_width, 2), v(125, kv_width, 3), dout(105, width, 4), old_q(105, width, 5),
      old_k(125, kv_width, 6);
  const Wide q64(q), k64(k), v64(v);
  Wide out64(old_q), dq64(old_q), dk64(old_k), dv64(old_k);
  const std::vector<double> bias64(example.bias.begin(), example.bias.end());
  std::vector<double> logsumexp64(420), dbias64(bias64);
  const AttentionInputs<double> in64{q64.rows(), k64.rows(), v64.rows(), example.bias_of(bias64)};
  attention_forward_reference<double>(problem, in64, out64.output(c.accumulate), logsumexp64.data());
  attention_backward_reference<double>(problem, in64, Wide(dout).rows(),
                                       {dq64.output(c.accumulate), dk64.output(c.accumulate), dv64.output(c.accumulate),
                                        bias64.empty() ? nullptr : dbias64.data(), c.accumulate});
  fovea::testing::for_each_isa([&](const std::string& isa) {
    Matrix out(old_q), dq(old_q), dk(old_k), dv(old_k);
    std::vector<float> logsumexp(420), dbias(example.bias);
    const AttentionInputs<float> in{q.rows(), k.rows(), v.rows(), example.bias_of(example.bias)};
    attention_forward_f32(problem, in, out.output(c.accumulate), logsumexp.data());
    attention_backward_f32(problem, in, dout.rows(), logsumexp.data(),
                           {dq.output(c.accumulate), dk.output(c.accumulate), dv.output(c.accumulate),
                            dbias.empty() ? nullptr : dbias.data(), c.accumulate});
    EXPECT_LT(largest_difference(out, out64), 2e-5) << isa;
    for (std::size_t i = 0; i < logsumexp.size(); ++i) {
      ASSERT_NEAR(static_cast<double>(logsumexp[i]), logsumexp64[i], 2e-5) << isa << " " << i;
    }
    EXPECT_LT(largest_difference(dq, dq64), 1e-4) << isa;
    EXPECT_LT(largest_difference(dk, dk64), 1e-4) << isa;
    EXPECT_LT(largest_difference(dv, dv64), 1e-4) << isa;
    for (std::size_t i = 0; i < dbias.size(); ++i) {
      ASSERT_NEAR(static_cast<double>(dbias[i]), dbias64[i], 1e-4) << isa << " " << i;
    }
    EXPECT_TRUE(out.gaps_untouched() && dq.gaps_untouched() && dk.gaps_untouched() && dv.gaps_untouched()) << isa;
  });
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const std::int64_t head_dim : {3, 8, 33}) {
    for (const AttentionKind kind : {AttentionKind::full, AttentionKind::causal, AttentionKind::prefix}) {
      for (const bool ranges : {false, true}) {
        all.push_back({head_dim, kind, ranges, 4, Bias::none, false});
        all.push_back({head_dim, kind, ranges, 2, Bias::none, true});
        all.push_back({head_dim, kind, ranges, 4, Bias::whole, true});
        all.push_back({head_dim, kind, ranges, 1, Bias::of_first_tokens, false});
      }
    }
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Cases, AttentionKernel, ::testing::ValuesIn(cases()),
                         [](const auto& test) { return name_of(test.param); });

TEST(AttentionKernelScores, LargeScoresDoNotOverflow) {
  const std::vector<std::int64_t> offsets{0, 2};
  const AttentionProblem problem{offsets.data(), offsets.data(), 1, 1, 1, AttentionKind::full, 1};
  const std::vector<float> q{1e4f, -1e4f}, k{1e4f, -1e4f}, v{3, 5};
  fovea::testing::for_each_isa([&](const std::string& isa) {
    std::vector<float> out(2), logsumexp(2);
    attention_forward_f32(problem, {{q.data(), 1}, {k.data(), 1}, {v.data(), 1}}, {out.data(), 1}, logsumexp.data());
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
    attention_forward_f32(problem, {{q.data(), 1}, {k.data(), 1}, {v.data(), 1}}, {out.data(), 1}, logsumexp.data());
    for (float y : out) EXPECT_TRUE(std::isnan(y)) << isa;
  });
}

}  // namespace
}  // namespace fovea::kernels
