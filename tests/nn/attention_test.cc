#include "fovea/nn/attention.h"

#include <gtest/gtest.h>

#include <vector>

#include "fovea/tensor/factory.h"
#include "fovea/tensor/reduce.h"
#include "module_check.h"

namespace fovea::nn {
namespace {

Attention make_attention(std::int64_t width, std::int64_t heads, ops::AttentionKind kind, Init& init) {
  return {init.xavier_uniform({3 * width, width}), Linear(width, width, init), heads, kind, init};
}

Ctx lengths(const std::vector<std::int64_t>& of_each) { return Ctx{}.with(PackedLayout::from_lengths(of_each)); }

TEST(Attention, GradientsFullAndCausalOverRaggedSequences) {
  for (const auto kind : {ops::AttentionKind::full, ops::AttentionKind::causal}) {
    Init init(1, DType::f64);
    Attention attention = make_attention(4, 2, kind, init);
    const Ctx ctx = lengths({3, 1, 4});
    const auto result =
        testing::check_module(attention, testing::normal_inputs({{8, 4}, {8, 4}}),
                              [&](std::span<const Var> in) { return attention(in[0], ctx, in[1]); }, {.step = 3e-4});
    EXPECT_TRUE(result) << result.message;
  }
}

// Plain loops over one sequence: queries, keys and values are the three row blocks of the fused matrix.
std::vector<double> reference(const Attention& a, const Tensor& x) {
  const std::int64_t t = x.dim(0), d = x.dim(1), size = d / a.heads;
  const auto project = [&](const Tensor& w, const Tensor& b, std::int64_t row, std::int64_t token, auto&& input) {
    double total = b.at(row);
    for (std::int64_t i = 0; i < d; ++i) total += w.at(row * d + i) * input(token, i);
    return total;
  };
  const auto of_x = [&](std::int64_t token, std::int64_t i) { return x.at(token * d + i); };
  const auto qkv = [&](std::int64_t part, std::int64_t token, std::int64_t i) {
    return project(a.qkv_weight.value(), a.qkv_bias.value(), part * d + i, token, of_x);
  };
  std::vector<double> mixed(static_cast<std::size_t>(t * d));
  for (std::int64_t q = 0; q < t; ++q) {
    for (std::int64_t h = 0; h < a.heads; ++h) {
      const std::int64_t keys = a.kind == ops::AttentionKind::causal ? q + 1 : t;
      std::vector<double> weight;
      double sum = 0;
      for (std::int64_t k = 0; k < keys; ++k) {
        double score = 0;
        for (std::int64_t i = h * size; i < (h + 1) * size; ++i) score += qkv(0, q, i) * qkv(1, k, i);
        weight.push_back(std::exp(score / std::sqrt(static_cast<double>(size))));
        sum += weight.back();
      }
      for (std::int64_t i = h * size; i < (h + 1) * size; ++i) {
        for (std::int64_t k = 0; k < keys; ++k)
          mixed[static_cast<std::size_t>(q * d + i)] += weight[static_cast<std::size_t>(k)] / sum * qkv(2, k, i);
      }
    }
  }
  const auto of_mixed = [&](std::int64_t token, std::int64_t i) {
    return mixed[static_cast<std::size_t>(token * d + i)];
  };
  std::vector<double> out;
  for (std::int64_t token = 0; token < t; ++token) {
    for (std::int64_t i = 0; i < d; ++i) {
      out.push_back(project(a.out_proj.weight.value(), a.out_proj.bias->value(), i, token, of_mixed));
    }
  }
  return out;
}

TEST(Attention, MatchesPlainLoopsSequenceBySequence) {
  for (const auto kind : {ops::AttentionKind::full, ops::AttentionKind::causal}) {
    Init init(2, DType::f64);
    Attention attention = make_attention(6, 3, kind, init);
    attention.qkv_bias.value() = testing::normal_inputs({{18}})[0];
    const Tensor x = testing::normal_inputs({{7, 6}})[0];
    const Tensor y = attention(x, lengths({2, 0, 5})).value();
    std::vector<double> expected = reference(attention, x.rows(0, 2));
    for (double value : reference(attention, x.rows(2, 7))) expected.push_back(value);
    EXPECT_LT(max_abs_difference(y, from_values<double>({7, 6}, expected)), 1e-12);
  }
}

TEST(Attention, FilesNameQueriesKeysAndValues) {
  Init init(1);
  const Attention attention = make_attention(4, 2, ops::AttentionKind::full, init);
  std::vector<std::string> paths;
  for (const ParamEntry& entry : collect(attention)) paths.push_back(entry.path);
  EXPECT_EQ(paths, (std::vector<std::string>{"q_proj.weight", "k_proj.weight", "v_proj.weight", "q_proj.bias",
                                             "k_proj.bias", "v_proj.bias", "out_proj.weight", "out_proj.bias"}));
  EXPECT_EQ(collect(attention)[1].value().shape(), (Shape{4, 4}));
  EXPECT_EQ(collect(attention)[1].value().at(0), attention.qkv_weight.value().at(16));
  EXPECT_EQ(collect(attention)[5].value().shape(), (Shape{4}));
}

TEST(Attention, RefusesHeadsThatDoNotDivideTheWidth) {
  Init init(1);
  EXPECT_THROW(make_attention(4, 3, ops::AttentionKind::full, init), Error);
  EXPECT_THROW(make_attention(4, 0, ops::AttentionKind::full, init), Error);
  const PackedLayout layout = PackedLayout::uniform(2, 3);
  EXPECT_THROW(SeenTokens(ops::AttentionKind::prefix, layout, from_values<std::int64_t>({2}, {1, 4})), Error);
}

TEST(Attention, RefusesALayoutOfOtherTokens) {
  Init init(1);
  const Attention attention = make_attention(4, 2, ops::AttentionKind::full, init);
  EXPECT_THROW(attention(zeros({5, 4}), lengths({3, 1})), Error);
  EXPECT_THROW(attention(zeros({5, 4}), Ctx{}), Error);
}

}  // namespace
}  // namespace fovea::nn
