// Symmetric contrastive loss.
#pragma once

#include "fovea/objectives/embeddings.h"
#include "fovea/ops/cross_entropy.h"
#include "fovea/ops/elementwise.h"
#include "fovea/ops/matmul.h"
#include "fovea/ops/shape.h"
#include "fovea/tensor/factory.h"

namespace fovea::objectives {

// logits = exp(logit_scale) I T^T; the loss is the mean of the cross-entropies of rows and columns against the diagonal
// (Radford et al. 2021, figure 3; van den Oord et al. 2018, eq. 4).
struct InfoNce {
  double label_smoothing = 0;

  Loss operator()(const Embeddings& e, const nn::Ctx&) const {
    FOVEA_CHECK(e.image.shape() == e.text.shape() && e.image.rank() == 2, "[info_nce] image features are ",
                e.image.shape(), ", text features ", e.text.shape(), ", expected two equal (B, E)");
    const Tensor labels = arange(e.image.dim(0));
    ops::CrossEntropyOptions options;
    options.label_smoothing = label_smoothing;
    const Var logits = ops::mul(ops::matmul(e.image, e.text, false, true), ops::exp(e.logit_scale));
    const Var images = ops::cross_entropy(logits, labels, options);
    const Var texts = ops::cross_entropy(ops::transpose(logits, {1, 0}), labels, options);
    return {ops::mul(ops::add(images, texts), 0.5), {{"loss_i2t", images.item()}, {"loss_t2i", texts.item()}}};
  }
};

}  // namespace fovea::objectives
