// Pairwise sigmoid loss.
#pragma once

#include <cmath>

#include "fovea/objectives/embeddings.h"
#include "fovea/ops/contrastive_ranks.h"

namespace fovea::objectives {

// Every pair of a picture and a text is a question by itself, whether they belong together: minus the log-probabilities
// of the right answers, summed over all pairs and divided by B (Zhai et al. 2023, algorithm 1). The probability that
// they do is sigmoid(logit). With several ranks, the batch is that of all.
struct Sigmoid {
  ops::RankExchange exchange = ops::RankExchange::ring;

  // Throws Error when the shapes do not fit, and without a logit_bias.
  Loss operator()(const Embeddings& e, const nn::Ctx& ctx) const {
    FOVEA_CHECK(e.image.shape() == e.text.shape() && e.image.rank() == 2, "[sigmoid] image features are ",
                e.image.shape(), ", text features ", e.text.shape(), ", expected two equal (B, E)");
    FOVEA_CHECK(e.logit_bias.defined(), "[sigmoid] there is no logit_bias, which balances one right answer against ",
                e.image.dim(0) - 1, " wrong ones\nhint: a model with Similarity::scale_and_bias learns it");
    if (ctx.group) return {ops::pair_sigmoid(e.image, e.text, e.scale(), e.logit_bias, *ctx.group, exchange), {}};
    return {ops::pair_sigmoid(e.image, e.text, e.scale(), e.logit_bias), {}};
  }

  // Of features whose cosines are 0.
  double expected_first_loss(std::int64_t pairs, const Embeddings& e) const {
    const auto softplus = [](double x) { return std::fmax(x, 0) + std::log1p(std::exp(-std::fabs(x))); };
    const double bias = e.logit_bias.item();
    return softplus(-bias) + static_cast<double>(pairs - 1) * softplus(bias);
  }
};

}  // namespace fovea::objectives
