// CLIP (Radford et al. 2021): two towers and a learned temperature.
#pragma once

#include <cmath>
#include <optional>

#include "fovea/data/batch.h"
#include "fovea/models/image_tower.h"
#include "fovea/models/text_tower.h"
#include "fovea/nn/linear.h"
#include "fovea/objectives/embeddings.h"
#include "fovea/ops/normalize.h"

namespace fovea::models {

// Any image tower with any text tower; parameter names are those of Hugging Face's CLIPModel.
template <class Image, class Text>
struct Clip {
  struct Config {
    typename Image::Config image;
    typename Text::Config text;
    std::int64_t embed = 512;  // width of the joint space
  };

  Config config;
  Text text_model;
  Image vision_model;
  std::optional<nn::Linear> visual_projection, text_projection;  // none where the tower ends in the joint space
  nn::Param logit_scale;                                         // scalar, a logarithm

  Clip(const Config& c, nn::Init& init)
      : config(c),
        text_model(c.text, init),
        vision_model(c.image, init),
        logit_scale(init.constant({}, std::log(1 / 0.07))) {
    FOVEA_CHECK(!vision_model.projects() || vision_model.features() == c.embed, "[clip] the image tower ends in ",
                vision_model.features(), " channels, the joint space has ", c.embed);
    if (!vision_model.projects()) visual_projection.emplace(make_projection(vision_model.features(), c.embed, init));
    if (!text_model.projects()) text_projection.emplace(make_projection(text_model.features(), c.embed, init));
  }

  // (N, S, S, 3) normalised images -> (N, E), not of unit length.
  Var encode_image(const Var& images, const nn::Ctx& ctx) const {
    return project_image(vision_model(images, ctx), ctx);
  }
  // The image tower's features (N, features()) -> (N, E).
  Var project_image(const Var& features, const nn::Ctx& ctx) const {
    return visual_projection ? (*visual_projection)(features, ctx) : features;
  }
  // (T) packed ids -> (B, E), not of unit length.
  Var encode_text(const Tensor& tokens, const PackedLayout& layout, const nn::Ctx& ctx) const {
    const nn::Ctx packed = ctx.with(layout);
    const Var features = text_model(tokens, packed);
    return text_projection ? (*text_projection)(features, packed) : features;
  }
  // Both, of unit length. The batch's images must be normalised already.
  objectives::Embeddings embed(const data::Batch& batch, const nn::Ctx& ctx) const {
    return {ops::l2_normalize(encode_image(batch.images, ctx)),
            ops::l2_normalize(encode_text(batch.tokens, batch.text, ctx)), logit_scale()};
  }

  // Keeps the factor on the cosines in [1, 100], as CLIP does after every step.
  void clamp_logit_scale() {
    const double value = logit_scale.value().item();
    logit_scale.value().fill(std::fmin(std::fmax(value, 0.0), std::log(100.0)));
  }

  static void visit(auto& self, auto&& f) {
    f("text_model", self.text_model);
    f("vision_model", self.vision_model);
    f("visual_projection", self.visual_projection);
    f("text_projection", self.text_projection);
    f("logit_scale", self.logit_scale);
  }

 private:
  static nn::Linear make_projection(std::int64_t in, std::int64_t out, nn::Init& init) {
    return nn::Linear(init.normal({out, in}, 1 / std::sqrt(static_cast<double>(in))));
  }
};

using ClipModel = Clip<ImageTower, TextTower>;
using ClipConfig = ClipModel::Config;

}  // namespace fovea::models
