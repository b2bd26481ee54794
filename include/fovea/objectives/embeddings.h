// The features that contrastive objectives compare.
#pragma once

#include <concepts>
#include <utility>

#include "fovea/nn/ctx.h"
#include "fovea/objectives/loss.h"
#include "fovea/ops/elementwise.h"

namespace fovea::objectives {

// Row i of `image` and row i of `text` belong together; both have unit length. What makes logits of their cosines is
// one number each: logits = exp(logit_scale) cosines + logit_bias (CLIP, SigLIP), or cosines / temperature (ALIGN).
struct Embeddings {
  Var image;          // (B, E)
  Var text;           // (B, E)
  Var logit_scale;    // a logarithm; undefined where there is a temperature
  Var logit_bias{};   // undefined: none
  Var temperature{};  // undefined: none

  // The factor on the cosines.
  Var scale() const { return temperature.defined() ? ops::reciprocal(temperature) : ops::exp(logit_scale); }
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
