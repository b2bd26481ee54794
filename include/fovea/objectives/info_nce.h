// Symmetric contrastive loss.
#pragma once

#include "fovea/objectives/embeddings.h"
#include "fovea/ops/contrastive.h"
#include "fovea/ops/elementwise.h"

namespace fovea::objectives {

// logits = exp(logit_scale) I T^T; the loss is the mean of the cross-entropies of rows and columns against the diagonal
// (Radford et al. 2021, figure 3; van den Oord et al. 2018, eq. 4).
struct InfoNce {
  double label_smoothing = 0;

  Loss operator()(const Embeddings& e, const nn::Ctx&) const {
    FOVEA_CHECK(e.image.shape() == e.text.shape() && e.image.rank() == 2, "[info_nce] image features are ",
                e.image.shape(), ", text features ", e.text.shape(), ", expected two equal (B, E)");
    ops::InfoNceOptions options;
    options.label_smoothing = label_smoothing;
    const ops::InfoNceResult result = ops::info_nce(e.image, e.text, ops::exp(e.logit_scale), options);
    return {result.loss, {{"loss_i2t", result.rows}, {"loss_t2i", result.columns}}};
  }
};

}  // namespace fovea::objectives
