#include "fovea/nn/transformer.h"

#include <gtest/gtest.h>

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
