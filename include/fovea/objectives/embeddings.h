// The features that contrastive objectives compare.
#pragma once

#include <concepts>
#include <utility>

#include "fovea/nn/ctx.h"
#include "fovea/objectives/loss.h"

namespace fovea::objectives {

// Row i of `image` and row i of `text` belong together; both have unit length.
struct Embeddings {
  Var image;        // (B, E)
  Var text;         // (B, E)
  Var logit_scale;  // scalar, the logarithm of the factor on the cosines
};

// Objectives that need the features alone: they work on any two towers, with a gradient cache and across ranks.
template <class O>
concept FeatureObjective = requires(const O objective, const Embeddings& e, const nn::Ctx& ctx) {
  { objective(e, ctx) } -> std::same_as<Loss>;
};

// Turns a feature objective into an objective over a model: anything with embed(batch, ctx).
template <FeatureObjective O>
struct OverFeatures {
  O objective;

  template <class Model, class Batch>
  Loss operator()(const Model& model, const Batch& batch, const nn::Ctx& ctx) const {
    return objective(model.embed(batch, ctx), ctx);
  }
};

}  // namespace fovea::objectives
