#include "fovea/ops/attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "../support/error_of.h"
#include "fovea/autograd/backward.h"
#include "fovea/core/allocator.h"
#include "fovea/core/parallel.h"
#include "fovea/ops/embedding.h"
#include "fovea/ops/shape.h"
#include "fovea/tensor/factory.h"
#include "fovea/tensor/reduce.h"
#include "fovea/testing/gradcheck.h"

namespace fovea {
namespace {

using ops::AttentionKind;
using ops::AttentionOptions;

PackedLayout lengths(std::vector<std::int64_t> values) { return PackedLayout::from_lengths(values); }

AttentionOptions options_of(PackedLayout layout, std::int64_t heads, AttentionKind kind = AttentionKind::full) {
  AttentionOptions options;
  options.layout = std::move(layout);
  options.heads = heads;
  options.kind = kind;
  return options;
}

AttentionOptions cross_options(PackedLayout q, PackedLayout kv, std::int64_t heads,
                               AttentionKind kind = AttentionKind::full) {
  AttentionOptions options = options_of(std::move(q), heads, kind);
  options.kv_layout = std::move(kv);
  return options;
}

void check_self(const AttentionOptions& options, std::int64_t head_dim) {
  const auto result =
      testing::check_op([&](std::span<const Var> in) { return ops::self_attention(in[0], options); },
                        testing::normal_inputs({{options.layout.tokens(), 3 * options.heads * head_dim}}));
  EXPECT_TRUE(result.passed) << "head size " << head_dim << ": " << result.message;
}

void check_cross(const AttentionOptions& options, std::int64_t head_dim) {
  const std::int64_t width = options.heads * head_dim, t = options.layout.tokens(), s = options.kv_layout.tokens();
  const auto result =
      testing::check_op([&](std::span<const Var> in) { return ops::attention(in[0], in[1], in[2], options); },
                        testing::normal_inputs({{t, width}, {s, width}, {s, width}}));
  EXPECT_TRUE(result.passed) << "head size " << head_dim << ": " << result.message;
}

// f32 on every instruction set against f64 only: for sizes at which numeric gradients take too long.
void check_precision(const AttentionOptions& options, std::int64_t head_dim) {
  const auto result = testing::compare_precisions(
      [&](std::span<const Var> in) { return ops::self_attention(in[0], options); },
      testing::normal_inputs({{options.layout.tokens(), 3 * options.heads * head_dim}}), {.tolerance = 2e-5});
  EXPECT_TRUE(result.passed) << options.layout.tokens() << " tokens, head size " << head_dim << ": " << result.message;
}

using tests::error_of;

TEST(AttentionOp, SelfMatchesNumericGradients) {
  for (AttentionKind kind : {AttentionKind::full, AttentionKind::causal}) {
    check_self(options_of(lengths({3, 1, 0, 5}), 2, kind), 4);
    check_self(options_of(lengths({7}), 1, kind), 5);
  }
  AttentionOptions scaled = options_of(lengths({2, 3}), 2);
  scaled.scale = 0.25;
  check_self(scaled, 3);
}

TEST(AttentionOp, CrossMatchesNumericGradients) {
  check_cross(cross_options(lengths({1, 1, 1}), lengths({4, 0, 6}), 2), 3);
  check_cross(cross_options(lengths({5, 0, 2}), lengths({2, 3, 4}), 1), 4);
  check_cross(cross_options(lengths({1, 3, 2}), lengths({4, 3, 5}), 2, AttentionKind::causal), 3);
}

// Options with a prefix, key ranges (one of them empty) and grouped heads, over sequences of 3, 1, 0 and 5 tokens.
AttentionOptions masked_options(AttentionKind kind, bool ranges, std::int64_t kv_heads) {
  AttentionOptions options = options_of(lengths({3, 1, 0, 5}), 2, kind);
  options.kv_heads = kv_heads;
  if (kind == AttentionKind::prefix) options.prefix_lengths = from_values<std::int32_t>({4}, {2, 0, 0, 3});
  if (ranges) {
    options.key_begin = from_values<std::int32_t>({9}, {0, 1, 0, 0, 2, 0, 3, 1, 0});
    options.key_end = from_values<std::int32_t>({9}, {2, 1, 3, 1, 5, 4, 5, 4, 5});
  }
  return options;
}

TEST(AttentionOp, MasksBiasesAndGroupsMatchNumericGradients) {
  for (AttentionKind kind : {AttentionKind::full, AttentionKind::causal, AttentionKind::prefix}) {
    for (bool ranges : {false, true}) {
      for (std::int64_t kv_heads : {1, 2}) {
        AttentionOptions options = masked_options(kind, ranges, kv_heads);
        const auto result = testing::check_op(
            [&](std::span<const Var> in) {
              options.bias = in[1];
              return ops::self_attention(in[0], options);
            },
            testing::normal_inputs({{9, (2 + 2 * kv_heads) * 3}, {2, 4, 5}}));
        EXPECT_TRUE(result.passed) << static_cast<int>(kind) << ranges << kv_heads << ": " << result.message;
      }
    }
  }
}

TEST(AttentionOp, CrossAttentionTakesMasksBiasesAndGroups) {
  AttentionOptions options = cross_options(lengths({1, 3, 2}), lengths({4, 3, 5}), 4);
  options.kv_heads = 2;
  options.key_begin = from_values<std::int32_t>({6}, {1, 0, 2, 0, 5, 0});
  options.key_end = from_values<std::int32_t>({6}, {3, 3, 2, 2, 5, 4});
  const auto separate = testing::check_op(
      [&](std::span<const Var> in) {
        options.bias = in[3];
        return ops::attention(in[0], in[1], in[2], options);
      },
      testing::normal_inputs({{6, 12}, {12, 6}, {12, 6}, {4, 3, 4}}));
  EXPECT_TRUE(separate.passed) << separate.message;
  const auto joint = testing::check_op(
      [&](std::span<const Var> in) {
        options.bias = in[2];
        return ops::cross_attention(in[0], in[1], options);
      },
      testing::normal_inputs({{6, 12}, {12, 12}, {4, 3, 4}}));
  EXPECT_TRUE(joint.passed) << joint.message;
}

// One bias for every head, (heads, queries, keys), as T5 and SimVLM have it: rows of a table, chosen by the distance.
TEST(AttentionOp, RelativeBiasesReachTheirTable) {
  Tensor distance({5 * 5}, DType::i64);
  for (std::int64_t i = 0; i < 25; ++i) distance.mutable_data<std::int64_t>()[i] = i % 5 - i / 5 + 4;
  AttentionOptions options = options_of(lengths({5, 3}), 2);
  const auto result = testing::check_op(
      [&](std::span<const Var> in) {
        options.bias = ops::reshape(ops::transpose(ops::embedding(in[1], distance), {1, 0}), {2, 5, 5});
        return ops::self_attention(in[0], options);
      },
      testing::normal_inputs({{8, 18}, {9, 2}}));
  EXPECT_TRUE(result.passed) << result.message;
}

TEST(AttentionOp, F32MatchesForEveryHeadSizeAndLengthOfATail) {
  for (std::int64_t n = 1; n <= 33; ++n) {
    const AttentionKind kind = n % 2 ? AttentionKind::full : AttentionKind::causal;
    check_precision(options_of(lengths({n, 34 - n}), 2, kind), n);
  }
}

TEST(AttentionOp, F32MatchesAtModelSizes) {
  check_precision(options_of(lengths({50, 77, 1}), 2), 64);
  check_precision(options_of(lengths({77, 12, 30}), 2, AttentionKind::causal), 64);
  check_precision(options_of(lengths({300}), 1), 80);
  check_precision(options_of(lengths({290}), 1, AttentionKind::causal), 32);
  check_precision(options_of(lengths({20}), 1), 256);
  for (std::int64_t head_dim : {96, 120, 161, 255}) check_precision(options_of(lengths({40, 9}), 2), head_dim);
}

// Inputs and results of torch.nn.functional.scaled_dot_product_attention in f64, three tokens, two heads of four.
struct PyTorchCase {
  AttentionKind kind;
  std::vector<double> out, dq, dk, dv;
};

std::vector<PyTorchCase> pytorch_cases() {
  return {
      {AttentionKind::full,
       {0.527905339, 0.73122205,    0.0304429581, -0.283576551, 0.143286616, 0.776807769, 0.456538198,  -0.236334404,
        0.678594309, 0.356274016,   -0.171802988, -0.051638075, 0.508484673, 0.609116885, 0.0619180976, -0.205259594,
        0.533020948, -0.0814355426, -0.215348417, 0.391027463,  0.728890821, 0.173181324, -0.262017335, 0.0591978755},
       {0.0817745823, 0.0493298798,  -0.00631543597, -0.0589905035, 0.0742384062,  0.0607686491,
        0.0187184469, -0.0321353334, 0.0926799549,   0.0435469809,  -0.0260668187, -0.0834209862,
        0.272097799,  0.232438565,   0.0834598429,   -0.104771348,  -0.216493464,  -0.212145021,
        -0.108021459, 0.0469062822,  -0.0651029003,  -0.0978087291, -0.0845135843, -0.0314703803},
       {-0.2489578,    0.000633424467, 0.249926739,  0.381675603,  -0.139380601, -0.118003715,
        -0.0411278377, 0.0550911043,   0.167859606,  -0.238929426, -0.533346217, -0.576921947,
        0.25845293,    -0.0946783442,  -0.403280914, -0.522214168, 0.0810981932, 0.238296002,
        0.283419477,   0.195246344,    -0.119072329, 0.212682059,  0.444408752,  0.467123064},
       {-0.52208882,   0.238510475, 0.767572787, 0.735314127, 0.710649733,  0.217505479,  -0.627349794, -0.798639637,
        -0.0236021542, 0.816877117, 1.12710574,  1.03574879,  0.453891711,  -0.421158203, -0.968119493, -1.03829936,
        0.595145416,   0.900030471, 0.985413509, 0.757296256, -0.221483445, -0.88082314,  -1.00205679,  -1.02095288}},
      {AttentionKind::causal,
       {0.278623882, -0.389513332,  -0.154995014, 0.783836383,  0.763832111, -0.171503145, -0.383985552, 0.303404022,
        0.821285473, 0.0949618764,  -0.335317485, 0.0898629325, 0.793262835, 0.512809045,  -0.236973984, -0.206319604,
        0.533020948, -0.0814355426, -0.215348417, 0.391027463,  0.728890821, 0.173181324,  -0.262017335, 0.0591978755},
       {0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        -0.0517211099,
        -0.0507772318,
        -0.0259520282,
        0.0110788198,
        0.0134671727,
        0.0171225885,
        0.0127249833,
        0.00234261966,
        -0.216493464,
        -0.212145021,
        -0.108021459,
        0.0469062822,
        -0.0651029003,
        -0.0978087291,
        -0.0845135843,
        -0.0314703803},
       {-0.231718123,   0.0721491765,   0.342083591,   0.451130748,   -0.158946926,   -0.0706292074,
        0.0509065308,   0.148500132,    0.230768319,   -0.0720975127, -0.341054758,   -0.449608621,
        0.199708725,    0.0852383658,   -0.0693209282, -0.191277506,  0.000949804259, -5.16638021e-05,
        -0.00102883357, -0.00152212683, -0.0407617988, -0.0146091584, 0.0184143974,   0.0427773744},
       {0.410529379,  1.19977412,   1.79017203,   1.40761792,   0.127857149,   -0.796005858,
        -1.60512349,  -1.80078068,  -0.304130128, 0.751592951,  1.03124376,    1.06546116,
        0.761904544,  -0.319059656, -0.955255642, -1.00454124,  -0.0569448099, 0.00405098777,
        0.0586762443, 0.0552800932, 0.0532963061, 0.0305896498, -0.037146942,  -0.0525699586}}};
}

TEST(AttentionOp, GivesPyTorchsValuesAndGradients) {
  Tensor q({3, 8}, DType::f64), k = q.clone(), v = q.clone(), dy = q.clone();
  for (std::int64_t i = 0; i < 24; ++i) {
    const double wave = 2 * std::sin(0.7 * static_cast<double>(i + 1));
    q.mutable_data<double>()[i] = wave;
    k.mutable_data<double>()[(2 - i / 8) * 8 + i % 8] = 0.9 * wave;
    v.mutable_data<double>()[i] = std::cos(wave);
    dy.mutable_data<double>()[i] = std::sin(wave);
  }
  for (const PyTorchCase& expected : pytorch_cases()) {
    const Var vq(q, true), vk(k, true), vv(v, true);
    const Var y = ops::attention(vq, vk, vv, options_of(lengths({3}), 2, expected.kind));
    backward(y, dy);
    const auto differs = [](const Tensor& a, const std::vector<double>& b) {
      return max_abs_difference(a, from_values<double>({3, 8}, b));
    };
    EXPECT_LT(differs(y.value(), expected.out), 1e-8);
    EXPECT_LT(differs(vq.grad(), expected.dq), 1e-8);
    EXPECT_LT(differs(vk.grad(), expected.dk), 1e-8);
    EXPECT_LT(differs(vv.grad(), expected.dv), 1e-8);
  }
}

TEST(AttentionOp, SequencesDoNotSeeEachOther) {
  const Tensor qkv = random_normal({9, 12}, RngKey{2});
  const Tensor packed = ops::self_attention(qkv, options_of(lengths({4, 5}), 2)).value();
  const Tensor first = ops::self_attention(qkv.rows(0, 4), options_of(lengths({4}), 2)).value();
  const Tensor second = ops::self_attention(qkv.rows(4, 9), options_of(lengths({5}), 2)).value();
  EXPECT_EQ(count_different_bits(packed.rows(0, 4), first), 0);
  EXPECT_EQ(count_different_bits(packed.rows(4, 9), second), 0);
}

TEST(AttentionOp, CausalQueriesAreAlignedWithTheLastKeys) {
  const Tensor q = random_normal({40, 16}, RngKey{3}), k = random_normal({40, 16}, RngKey{4});
  const Tensor v = random_normal({40, 16}, RngKey{5});
  const Tensor whole = ops::attention(q, k, v, options_of(lengths({40}), 2, AttentionKind::causal)).value();
  const Tensor tail =
      ops::attention(q.rows(37, 40), k, v, cross_options(lengths({3}), lengths({40}), 2, AttentionKind::causal))
          .value();
  EXPECT_LT(max_abs_difference(tail, whole.rows(37, 40)), 1e-6);
}

TEST(AttentionOp, AQueryWithoutKeysGivesZero) {
  for (DType dtype : {DType::f32, DType::f64}) {
    const Var q(random_normal({3, 6}, RngKey{6}, 0, 1, dtype), true),
        k(random_normal({2, 6}, RngKey{7}, 0, 1, dtype), true);
    const Var y = ops::attention(q, k, k, cross_options(lengths({1, 2}), lengths({2, 0}), 2));
    EXPECT_GT(max_abs(y.value().rows(0, 1)), 0);
    EXPECT_EQ(max_abs(y.value().rows(1, 3)), 0);
    backward(y, ones({3, 6}, dtype));
    EXPECT_EQ(max_abs(q.grad().rows(1, 3)), 0);
    EXPECT_TRUE(all_finite(k.grad()));
  }
}

TEST(AttentionOp, AnEmptyKeyRangeGivesZeroAndNoGradients) {
  for (DType dtype : {DType::f32, DType::f64}) {
    const Var qkv(random_normal({4, 18}, RngKey{6}, 0, 1, dtype), true);
    AttentionOptions options = options_of(lengths({4}), 2);
    options.key_begin = from_values<std::int32_t>({4}, {1, 2, 0, 4});
    options.key_end = from_values<std::int32_t>({4}, {1, 4, 0, 4});
    const Var bias(random_normal({2, 4, 4}, RngKey{7}, 0, 1, dtype), true);
    options.bias = bias;
    const Var y = ops::self_attention(qkv, options);
    backward(y, ones({4, 6}, dtype));
    for (std::int64_t t : {0, 2, 3}) {
      EXPECT_EQ(max_abs(y.value().rows(t, t + 1)), 0);
      EXPECT_EQ(max_abs(ops::slice(Var(qkv.grad().rows(t, t + 1)), 1, 0, 6).value()), 0);
    }
    EXPECT_GT(max_abs(y.value().rows(1, 2)), 0);
    // Keys 0 and 1 are seen by no query.
    EXPECT_EQ(max_abs(ops::slice(Var(qkv.grad().rows(0, 2)), 1, 6, 18).value()), 0);
    EXPECT_GT(max_abs(ops::slice(Var(qkv.grad().rows(2, 4)), 1, 6, 18).value()), 0);
    EXPECT_TRUE(all_finite(bias.grad()));
  }
}

TEST(AttentionOp, APrefixOfNothingIsCausalAndOfEverythingFull) {
  const Tensor qkv = random_normal({9, 24}, RngKey{14});
  AttentionOptions options = options_of(lengths({4, 5}), 2, AttentionKind::prefix);
  options.prefix_lengths = from_values<std::int32_t>({2}, {0, 5});
  const Tensor y = ops::self_attention(qkv, options).value();
  const Tensor causal = ops::self_attention(qkv, options_of(lengths({4, 5}), 2, AttentionKind::causal)).value();
  const Tensor full = ops::self_attention(qkv, options_of(lengths({4, 5}), 2)).value();
  EXPECT_EQ(count_different_bits(y.rows(0, 4), causal.rows(0, 4)), 0);
  EXPECT_EQ(count_different_bits(y.rows(4, 9), full.rows(4, 9)), 0);
}

TEST(AttentionOp, GroupedHeadsAreRepeatedHeads) {
  const Tensor q = random_normal({6, 12}, RngKey{15}), k = random_normal({6, 6}, RngKey{16});
  const Tensor v = random_normal({6, 6}, RngKey{17});
  AttentionOptions options = options_of(lengths({6}), 4);
  options.kv_heads = 2;
  const auto repeated = [](const Tensor& x) {
    const Var first = ops::slice(x, 1, 0, 3), second = ops::slice(x, 1, 3, 6);
    return ops::concat({first, first, second, second}, 1);
  };
  const Tensor grouped = ops::attention(q, k, v, options).value();
  const Tensor plain = ops::attention(q, repeated(k), repeated(v), options_of(lengths({6}), 4)).value();
  EXPECT_EQ(max_abs_difference(grouped, plain), 0);
}

// What stays alive between forward and backward is the result and one number for each query and head.
TEST(AttentionOp, KeepsTheLogOfTheSumsOnly) {
  const std::int64_t tokens = 600, heads = 2, width = heads * 16;
  const Var qkv(random_normal({tokens, 3 * width}, RngKey{18}), true);
  const AttentionOptions options = options_of(lengths({tokens}), heads);
  const std::int64_t before = allocator::stats().live_bytes;
  const Var y = ops::self_attention(qkv, options);
  const std::int64_t kept = allocator::stats().live_bytes - before;
  EXPECT_GE(kept, tokens * (width + heads) * 4);
  EXPECT_LT(kept, tokens * (width + heads) * 5);  // the scores have 2.9 MB
}

// With layouts that differ, one head writes where another one adds.
TEST(AttentionOp, InputsMayBeOneValueOrConstants) {
  const AttentionOptions options = cross_options(lengths({3, 2}), lengths({4, 1}), 2);
  const auto same =
      testing::check_op([&](std::span<const Var> in) { return ops::attention(in[0], in[0], in[0], options); },
                        testing::normal_inputs({{5, 6}}));
  EXPECT_TRUE(same.passed) << same.message;
  const Tensor other = random_normal({5, 6}, RngKey{8}, 0, 1, DType::f64);
  for (int wanted = 0; wanted < 3; ++wanted) {
    const auto result = testing::check_op(
        [&](std::span<const Var> in) {
          std::vector<Var> inputs(3, Var(other.to(in[0].dtype())));
          inputs[static_cast<std::size_t>(wanted)] = in[0];
          return ops::attention(inputs[0], inputs[1], inputs[2], options);
        },
        testing::normal_inputs({{5, 6}}));
    EXPECT_TRUE(result.passed) << wanted << ": " << result.message;
  }
}

TEST(AttentionOp, GivesTheSameBitsForAnyThreadCount) {
  AttentionOptions options = options_of(lengths({270, 31, 5}), 4);
  const int threads = num_threads();
  for (bool biased : {false, true}) {
    options.kv_heads = biased ? 2 : 4;
    const Tensor qkv = random_normal({306, (4 + 2 * options.kv_heads) * 20}, RngKey{9});
    const Tensor bias = random_normal({4, 100, 270}, RngKey{19});
    std::vector<std::vector<Tensor>> results;
    for (int n : {1, 2, 3}) {
      set_num_threads(n);
      const Var x(qkv, true), b(bias, true);
      if (biased) options.bias = b;
      const Var y = ops::self_attention(x, options);
      backward(y, random_normal(y.shape(), RngKey{10}));
      results.push_back({y.value(), x.grad()});
      if (biased) results.back().push_back(b.grad());
    }
    set_num_threads(threads);
    for (std::size_t i = 0; i < results[0].size(); ++i) {
      EXPECT_EQ(count_different_bits(results[0][i], results[1][i]), 0) << biased << i;
      EXPECT_EQ(count_different_bits(results[0][i], results[2][i]), 0) << biased << i;
    }
  }
}

TEST(AttentionOp, WeightsMixTheValues) {
  const Tensor q = random_normal({5, 6}, RngKey{11}, 0, 1, DType::f64),
               k = random_normal({7, 6}, RngKey{12}, 0, 1, DType::f64);
  const Tensor v = random_normal({7, 6}, RngKey{13}, 0, 1, DType::f64);
  const AttentionOptions options = cross_options(lengths({2, 3}), lengths({3, 4}), 2, AttentionKind::causal);
  const Tensor y = ops::attention(q, k, v, options).value();
  const std::vector<Tensor> weights = ops::attention_weights(q, k, options);
  ASSERT_EQ(weights.size(), 2u);
  EXPECT_EQ(weights[0].shape(), (Shape{2, 2, 3}));
  EXPECT_EQ(weights[1].shape(), (Shape{2, 3, 4}));
  EXPECT_EQ(weights[1].at(3), 0);  // the first of three queries does not see the last of four keys
  for (std::int64_t h = 0; h < 2; ++h) {
    for (std::int64_t i = 0; i < 3; ++i) {
      double total = 0, mixed = 0;
      for (std::int64_t j = 0; j < 4; ++j) {
        const double w = weights[1].at((h * 3 + i) * 4 + j);
        total += w;
        mixed += w * v.at((3 + j) * 6 + h * 3);
      }
      EXPECT_NEAR(total, 1, 1e-12);
      EXPECT_NEAR(mixed, y.at((2 + i) * 6 + h * 3), 1e-12);
    }
  }
}

TEST(AttentionOp, WeightsOfEveryKindMixTheValues) {
  for (AttentionKind kind : {AttentionKind::full, AttentionKind::causal, AttentionKind::prefix}) {
    AttentionOptions options = masked_options(kind, true, 1);
    options.bias = Var(random_normal({2, 5, 4}, RngKey{20}, 0, 1, DType::f64));
    const Tensor q = random_normal({9, 4}, RngKey{21}, 0, 1, DType::f64);
    const Tensor k = random_normal({9, 2}, RngKey{22}, 0, 1, DType::f64);
    const Tensor v = random_normal({9, 2}, RngKey{23}, 0, 1, DType::f64);
    const Tensor y = ops::attention(q, k, v, options).value();
    const Tensor weights = ops::attention_weights(q, k, options)[3];
    for (std::int64_t row = 0; row < 10; ++row) {
      const std::int64_t h = row / 5, i = row % 5;
      double mixed = 0;
      for (std::int64_t j = 0; j < 5; ++j) mixed += weights.at(row * 5 + j) * v.at((4 + j) * 2);
      EXPECT_NEAR(mixed, y.at((4 + i) * 4 + 2 * h), 1e-12) << static_cast<int>(kind) << row;
    }
  }
}

TEST(AttentionOp, TakesNoTokens) {
  const Var y = ops::self_attention(Var(Tensor({0, 12}), true), options_of(lengths({0, 0}), 2));
  EXPECT_EQ(y.shape(), (Shape{0, 4}));
  EXPECT_EQ(ops::self_attention(Tensor({0, 12}, DType::f64), options_of(lengths({}), 2)).shape(), (Shape{0, 4}));
}

TEST(AttentionOp, NamesWhatDoesNotFit) {
  const Tensor qkv = zeros({5, 12});
  const auto fails = [&](auto&& change) {
    AttentionOptions options = options_of(lengths({5}), 2);
    change(options);
    return error_of([&] { ops::self_attention(qkv, options); });
  };
  EXPECT_EQ(fails([](auto& o) { o.layout = lengths({4}); }),
            "[attention queries] the layout spans rows 0 to 4, the matrix has 5");
  EXPECT_EQ(fails([](auto& o) { o.layout = {}; }),
            "[attention queries] the layout is not set\nhint: PackedLayout::uniform(sequences, length)");
  EXPECT_EQ(
      fails([](auto& o) { o.heads = 0; }),
      "[self_attention] qkv is (5, 12), expected (T, D) with D a multiple of 0: 0 heads of queries, 0 of keys and 0 "
      "of values");
  EXPECT_EQ(
      fails([](auto& o) { o.heads = 5; }),
      "[self_attention] qkv is (5, 12), expected (T, D) with D a multiple of 15: 5 heads of queries, 5 of keys and "
      "5 of values");
  EXPECT_EQ(fails([](auto& o) { o.heads = 4, o.kv_heads = 4; }), "");
  EXPECT_EQ(fails([](auto& o) { o.heads = 2, o.kv_heads = 5; }),
            "[attention] 2 heads of queries cannot share 5 heads of keys evenly");
  EXPECT_EQ(fails([](auto& o) { o.kind = AttentionKind::prefix; }),
            "[attention] the kind is prefix, but prefix_lengths is not set");
  EXPECT_EQ(fails([](auto& o) { o.prefix_lengths = Tensor({1}, DType::i32); }),
            "[attention] prefix_lengths is set, but the kind is not prefix");
  const auto prefix = [](Tensor p) {
    return [p](auto& o) {
      o.kind = AttentionKind::prefix;
      o.prefix_lengths = p;
    };
  };
  EXPECT_EQ(fails(prefix(Tensor({1}, DType::i64))),
            "[attention] prefix_lengths is i64 (1,), expected i32 (1,): one number a sequence");
  EXPECT_EQ(fails(prefix(from_values<std::int32_t>({1}, {6}))),
            "[attention] prefix_lengths has 6 for sequence 0, which has 5 keys");
  EXPECT_EQ(fails([](auto& o) { o.key_begin = Tensor({5}, DType::i32); }),
            "[attention] key_begin and key_end go together; key_end is not set");
  EXPECT_EQ(fails([](auto& o) { o.key_begin = o.key_end = Tensor({4}, DType::i32); }),
            "[attention] key_begin is i32 (4,), expected i32 (5,): one number a query");
  EXPECT_EQ(fails([](auto& o) {
              o.key_begin = from_values<std::int32_t>({5}, {0, 0, 0, 2, 0});
              o.key_end = from_values<std::int32_t>({5}, {1, 5, 5, 1, 5});
            }),
            "[attention] query 3 has the keys [2, 1) of sequence 0, which has 5");
  EXPECT_EQ(fails([](auto& o) {
              o.bias = zeros({5, 5});
            }),
            "[attention] the bias is f32 (5, 5), expected f32 (2 heads, queries, keys)");
  EXPECT_EQ(error_of([&] {
              ops::self_attention(zeros({1, 771}), options_of(lengths({1}), 1));
            }),
            "[attention] heads have 257 channels, at most 256 are supported");
  EXPECT_EQ(error_of([&] {
              ops::attention(zeros({3, 4}), zeros({2, 4}), zeros({2, 4}),
                             cross_options(lengths({3}), lengths({2}), 1, AttentionKind::causal));
            }),
            "[attention] causal sequence 0 has 3 queries and only 2 keys");
  EXPECT_EQ(
      error_of([&] {
        ops::attention(zeros({3, 4}), zeros({2, 4}), zeros({2, 4}), cross_options(lengths({3}), lengths({1, 1}), 1));
      }),
      "[attention] 1 sequences of queries, 2 of keys");
  EXPECT_EQ(error_of([&] {
              ops::attention(zeros({3, 4}), zeros({2, 4}), zeros({2, 5}), options_of(lengths({3}), 1));
            }),
            "[attention] queries are (3, 4), keys (2, 4), values (2, 5), expected (T, D), (S, D), (S, D)");
}

TEST(CrossAttentionOp, IsAttentionToHalvesOfOneMatrix) {
  const AttentionOptions options = cross_options(lengths({1, 2, 1}), lengths({3, 4, 0}), 2);
  const auto in = testing::normal_inputs({{4, 6}, {7, 12}});
  const Var kv(in[1]);
  const Var halves = ops::attention(in[0], ops::slice(kv, 1, 0, 6), ops::slice(kv, 1, 6, 12), options);
  EXPECT_EQ(max_abs_difference(ops::cross_attention(in[0], kv, options).value(), halves.value()), 0);
  const auto result =
      testing::check_op([&](std::span<const Var> x) { return ops::cross_attention(x[0], x[1], options); }, in);
  EXPECT_TRUE(result) << result.message;
  EXPECT_EQ(tests::error_of([&] { ops::cross_attention(in[0], in[0], options); }),
            "[attention] keys have width 3, expected 2 heads of 3");
  EXPECT_EQ(tests::error_of([&] {
              ops::cross_attention(in[0], Tensor({7, 5}, DType::f64), options);
            }),
            "[cross_attention] queries are f64 (4, 6), keys and values f64 (7, 5), expected (T, D) and (S, 2 D)");
}

}  // namespace
}  // namespace fovea
