// The loss of a large batch in the memory of a small one.
#pragma once

#include <cstdint>
#include <vector>

#include "fovea/autograd/backward.h"
#include "fovea/autograd/gradient_watch.h"
#include "fovea/autograd/no_grad.h"
#include "fovea/objectives/embeddings.h"
#include "fovea/ops/elementwise.h"
#include "fovea/ops/reduce.h"

namespace fovea::objectives {

namespace detail {

// The blocks one below the other, as a leaf whose gradient is wanted.
inline Var stacked_leaf(const std::vector<Tensor>& blocks) {
  std::int64_t rows = 0;
  for (const Tensor& block : blocks) rows += block.dim(0);
  Tensor all({rows, blocks.front().dim(1)}, blocks.front().dtype());
  std::int64_t begin = 0;
  for (const Tensor& block : blocks) {
    all.rows(begin, begin + block.dim(0)).copy_from(block);
    begin += block.dim(0);
  }
  return Var(all, true);
}

// <features, gradient>, whose derivative with respect to the features is the gradient.
inline Var product_with(const Var& features, const Tensor& gradient) { return ops::sum(ops::mul(features, gradient)); }

}  // namespace detail

// The loss of all micro-batches as one batch, and its exact gradients, added to those of the parameters (Gao et al.
// 2021, "Scaling deep contrastive learning batch size under memory limited setup"): every micro-batch is encoded
// without a tape, the loss and its derivatives with respect to the features are computed once, and every micro-batch is
// encoded again, with a tape through which its features' derivatives go back. One micro-batch's activations are alive
// at a time.
//
// `encode(j, ctx)` gives micro-batch j's Embeddings, and must give the same when it is asked again; its logit_scale,
// logit_bias and temperature must be parameters themselves, or constants: their gradients arrive once. BatchNorm sees
// each micro-batch by itself, and its running statistics move once.
template <FeatureObjective Objective, class Encode>
Loss backward_with_gradient_cache(std::int64_t micro_batches, const Encode& encode, const Objective& objective,
                                  const nn::Ctx& ctx) {
  FOVEA_CHECK(micro_batches >= 1, "[gradient_cache] ", micro_batches, " micro-batches, expected at least 1");
  std::vector<Tensor> images, texts;
  Embeddings all;
  {
    const NoGrad no_tape;
    nn::Ctx first_pass = ctx;
    first_pass.update_statistics = false;
    for (std::int64_t j = 0; j < micro_batches; ++j) {
      all = encode(j, first_pass);
      images.push_back(all.image.value());
      texts.push_back(all.text.value());
    }
  }
  all.image = detail::stacked_leaf(images);
  all.text = detail::stacked_leaf(texts);
  Loss loss = objective(all, ctx);
  backward(loss.total);
  loss.total = loss.total.detach();

  std::int64_t begin = 0;
  for (std::int64_t j = 0; j < micro_batches; ++j) {
    const Embeddings e = encode(j, ctx);
    const std::int64_t end = begin + e.image.dim(0);
    const Var product = ops::add(detail::product_with(e.image, all.image.grad().rows(begin, end)),
                                 detail::product_with(e.text, all.text.grad().rows(begin, end)));
    if (product.requires_grad()) j + 1 < micro_batches ? backward(product) : last_backward(product);
    begin = end;
  }
  return loss;
}

}  // namespace fovea::objectives
