#include "fovea/nn/transformer.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include "../support/error_of.h"
#include "fovea/autograd/backward.h"
#include "fovea/autograd/saved.h"
#include "fovea/core/allocator.h"
#include "fovea/core/parallel.h"
#include "fovea/ops/elementwise.h"
#include "fovea/ops/reduce.h"
#include "fovea/tensor/factory.h"
#include "fovea/tensor/reduce.h"
#include "module_check.h"

namespace fovea::nn {
namespace {

TransformerConfig tiny(ops::AttentionKind kind, Activation activation) { return {4, 2, 2, 6, activation, kind, 0.1}; }

Ctx lengths(const std::vector<std::int64_t>& of_each) { return Ctx{}.with(PackedLayout::from_lengths(of_each)); }

TEST(Transformer, BlockGradientsFullAndCausal) {
  for (const auto kind : {ops::AttentionKind::full, ops::AttentionKind::causal}) {
    Init init(1, DType::f64);
    TransformerBlock block(tiny(kind, Activation::quick_gelu), TransformerInit::pytorch, init);
    const Ctx ctx = lengths({3, 2});
    const auto result =
        testing::check_module(block, testing::normal_inputs({{5, 4}}),
                              [&](std::span<const Var> in) { return block(in[0], ctx); }, {.step = 1e-4});
    EXPECT_TRUE(result) << result.message;
  }
}

// With all projections back into the stream at zero, a pre-norm block is the identity.
TEST(Transformer, BlockIsTheIdentityWhenNothingIsProjectedBack) {
  Init init(1, DType::f64);
  TransformerBlock block(tiny(ops::AttentionKind::full, Activation::gelu), TransformerInit::pytorch, init);
  for (Linear* back : {&block.self_attn.out_proj, &block.mlp.down}) {
    back->weight.value().fill(0);
    back->bias->value().fill(0);
  }
  const Tensor x = testing::normal_inputs({{5, 4}})[0];
  EXPECT_EQ(max_abs_difference(block(x, lengths({5})).value(), x), 0);
}

TEST(Transformer, PackingKeepsSequencesApart) {
  for (const auto kind : {ops::AttentionKind::full, ops::AttentionKind::causal}) {
    Init init(1, DType::f64);
    const Transformer transformer(tiny(kind, Activation::gelu), TransformerInit::clip_text, init);
    const Tensor x = testing::normal_inputs({{9, 4}})[0];
    const Tensor packed = transformer(x, lengths({4, 5})).value();
    EXPECT_LT(max_abs_difference(packed.rows(0, 4), transformer(x.rows(0, 4), lengths({4})).value()), 1e-12);
    EXPECT_LT(max_abs_difference(packed.rows(4, 9), transformer(x.rows(4, 9), lengths({5})).value()), 1e-12);
  }
}

TEST(Transformer, CausalPrefixesDoNotSeeWhatFollows) {
  Init init(1, DType::f64);
  const Transformer transformer(tiny(ops::AttentionKind::causal, Activation::gelu), TransformerInit::pytorch, init);
  const Tensor x = testing::normal_inputs({{6, 4}})[0];
  const Tensor whole = transformer(x, lengths({6})).value();
  EXPECT_LT(max_abs_difference(whole.rows(0, 4), transformer(x.rows(0, 4), lengths({4})).value()), 1e-12);
}

// Gradients of everything, under a loss of the rows that `forward` gives.
template <class Forward>
std::vector<Tensor> gradients_of(const Transformer& transformer, const Tensor& x, const Forward& forward) {
  const auto leaves = testing::leaves_of(collect(transformer));
  for (const auto& leaf : leaves) leaf->node->has_grad = false;
  const Var input(x, true);
  const Var y = forward(input);
  backward(ops::sum(ops::square(y)));
  std::vector<Tensor> all{y.value(), input.grad()};
  for (const auto& leaf : leaves) all.push_back(leaf->node->grad.clone());
  return all;
}

// One token of each sequence, wherever it stands, is what computing every token gives.
TEST(Transformer, PooledRowsAreThoseOfTheWhole) {
  for (const auto kind : {ops::AttentionKind::full, ops::AttentionKind::causal}) {
    for (const DType type : {DType::f64, DType::f32}) {
      for (const std::vector<std::int64_t>& pooled : {std::vector<std::int64_t>{0, 4}, {2, 4}, {3, 8}}) {
        Init init(1, type);
        const Transformer transformer(tiny(kind, Activation::gelu), TransformerInit::clip_text, init);
        const Tensor rows = from_values<std::int64_t>({2}, pooled);
        Ctx ctx = lengths({4, 5});
        const Tensor x = testing::normal_inputs({{9, 4}})[0].to(type);
        const auto saving = gradients_of(transformer, x, [&](const Var& in) { return transformer(in, ctx, rows); });
        ctx.every_token = true;
        const auto dense = gradients_of(transformer, x, [&](const Var& in) { return transformer(in, ctx, rows); });
        for (std::size_t i = 0; i < dense.size(); ++i) {
          EXPECT_LE(testing::relative_error(saving[i], dense[i], 1e-3), type == DType::f64 ? 1e-12 : 1e-5) << i;
        }
      }
    }
  }
}

TEST(Transformer, RefusesRowsOfOtherSequences) {
  Init init(1);
  const Transformer transformer(tiny(ops::AttentionKind::full, Activation::gelu), TransformerInit::pytorch, init);
  const auto error = [&](const std::vector<std::int64_t>& rows) {
    const auto count = static_cast<std::int64_t>(rows.size());
    return tests::error_of([&] {
      transformer(zeros({5, 4}), lengths({3, 2}), from_values<std::int64_t>({count}, rows));
    });
  };
  EXPECT_EQ(error({0, 2}), "[attention] row 2 is outside sequence 1, which has rows 3 to 4");
  EXPECT_EQ(error({0}), "[attention] rows are i64 (1,), expected i64 (2,): a token of each sequence");
}

TEST(Transformer, CheckpointsGiveTheSameBits) {
  Init init(1);
  const Transformer transformer(tiny(ops::AttentionKind::causal, Activation::gelu), TransformerInit::clip_text, init);
  const Tensor x = testing::normal_inputs({{9, 4}})[0].to(DType::f32), rows = from_values<std::int64_t>({2}, {3, 8});
  for (const bool pooled : {false, true}) {
    Ctx ctx = lengths({4, 5});
    const auto forward = [&](const Var& in) { return pooled ? transformer(in, ctx, rows) : transformer(in, ctx); };
    const auto plain = gradients_of(transformer, x, forward);
    ctx.checkpointing = true;
    const auto again = gradients_of(transformer, x, forward);
    for (std::size_t i = 0; i < plain.size(); ++i) EXPECT_EQ(max_abs_difference(again[i], plain[i]), 0) << i;
  }
}

// What a frozen stack computes is a constant, of which nothing but the result is kept.
TEST(Transformer, FrozenKeepsNothing) {
  Init init(1);
  TransformerConfig config = tiny(ops::AttentionKind::full, Activation::gelu);
  config.width = 32;
  const Transformer transformer(config, TransformerInit::clip_text, init);
  for (const auto& leaf : testing::leaves_of(collect(transformer))) leaf->frozen = true;
  const Tensor x = random_normal({512, 32}, RngKey{1});
  const Ctx ctx = lengths({512});
  const std::int64_t before = allocator::stats().live_bytes;
  const Var y = transformer(x, ctx);
  EXPECT_FALSE(y.requires_grad());
  EXPECT_LE(allocator::stats().live_bytes - before, y.value().bytes());
}

// Per token and layer backward needs the input, queries, keys and values, the attended values, the sum after them and
// the feed-forward block before its activation: 10 D. Norms' and activations' results are made again.
TEST(Transformer, KeepsTenNumbersPerTokenLayerAndChannel) {
  Init init(1);
  const TransformerConfig config{64, 4, 4, 256, Activation::gelu, ops::AttentionKind::full, 1e-5};
  const Transformer transformer(config, TransformerInit::clip_text, init);
  const std::int64_t tokens = 2048, once = tokens * config.width * 4;
  const Var x(random_normal({tokens, config.width}, RngKey{1}), true);
  Ctx ctx = lengths(std::vector<std::int64_t>(64, 32));
  const auto peak = [&] {
    for (const auto& leaf : testing::leaves_of(collect(transformer))) leaf->node->has_grad = false;
    const std::int64_t before = allocator::stats().live_bytes;
    allocator::reset_peak();
    backward(transformer(x, ctx), zeros(x.shape()));
    return static_cast<double>(allocator::stats().peak_bytes - before) / static_cast<double>(once);
  };
  peak();                         // gradients are there from now on
  const double temporaries = 12;  // of one layer, forward or backward; packed operands of its products
  EXPECT_LE(peak(), 10 * 4 + temporaries);
  {
    const SaveInBf16 rounding;
    EXPECT_LE(peak(), 5 * 4 + temporaries);
  }
  ctx.checkpointing = true;
  EXPECT_LE(peak(), 4 + 10 + temporaries);
}

// Once every size was seen, steps neither ask the system for memory nor touch a new page.
TEST(Transformer, AStepFindsItsMemoryAgain) {
  Init init(1);
  const TransformerConfig config{64, 4, 4, 256, Activation::gelu, ops::AttentionKind::full, 1e-5};
  const Transformer transformer(config, TransformerInit::clip_text, init);
  const Var x(random_normal({2048, config.width}, RngKey{1}), true);
  const Ctx ctx = lengths(std::vector<std::int64_t>(64, 32));
  const auto steps = [&](int count) {
    for (int i = 0; i < count; ++i) backward(transformer(x, ctx), zeros(x.shape()));
  };
  const auto faults = [] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
  };
  const int threads = num_threads();
  set_num_threads(1);  // how many temporaries are there at a time is then the same in every step
  steps(5);
  const std::int64_t misses = allocator::stats().cache_misses, before = faults();
  steps(10);
  EXPECT_EQ(allocator::stats().cache_misses, misses);
  EXPECT_LE(faults() - before, 100);  // of 4 KiB each; the steps' tensors have 60,000
  set_num_threads(threads);
}

TEST(Transformer, NamesItsLayers) {
  Init init(1);
  const Transformer transformer(tiny(ops::AttentionKind::full, Activation::gelu), TransformerInit::pytorch, init);
  const auto entries = collect(transformer);
  EXPECT_EQ(entries.size(), 2u * 16);
  EXPECT_EQ(entries.front().path, "layers.0.self_attn.q_proj.weight");
  EXPECT_EQ(entries.back().path, "layers.1.layer_norm2.bias");
}

}  // namespace
}  // namespace fovea::nn
