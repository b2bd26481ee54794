// Symmetric contrastive loss.
#pragma once

#include <cmath>

#include "fovea/objectives/embeddings.h"
#include "fovea/ops/contrastive_ranks.h"

namespace fovea::objectives {

// The mean of the cross-entropies of the logits' rows and columns against the diagonal (Radford et al. 2021, figure 3;
// van den Oord et al. 2018, eq. 4; with label smoothing and a temperature, Jia et al. 2021, eq. 1 and 2). A logit_bias
// moves all logits alike, so it changes nothing. With several ranks, the batch is that of all.
struct InfoNce {
  double label_smoothing = 0;   // share of each target that is spread over its row, or column
  bool sum_directions = false;  // the sum instead of the mean of both (coyo-align; Hugging Face's ALIGN has the mean)
  ops::RankExchange exchange = ops::RankExchange::ring;

  Loss operator()(const Embeddings& e, const nn::Ctx& ctx) const {
    FOVEA_CHECK(e.image.shape() == e.text.shape() && e.image.rank() == 2, "[info_nce] image features are ",
                e.image.shape(), ", text features ", e.text.shape(), ", expected two equal (B, E)");
    const ops::InfoNceResult result =
        ctx.group ? ops::info_nce(e.image, e.text, e.scale(), label_smoothing, *ctx.group, exchange)
                  : ops::info_nce(e.image, e.text, e.scale(), {.label_smoothing = label_smoothing});
    return {sum_directions ? ops::mul(result.loss, 2) : result.loss,
            {{"loss_i2t", result.rows}, {"loss_t2i", result.columns}}};
  }

  // Of features that tell nothing.
  double expected_first_loss(std::int64_t pairs, const Embeddings&) const {
    return (sum_directions ? 2 : 1) * std::log(static_cast<double>(pairs));
  }
};

}  // namespace fovea::objectives
