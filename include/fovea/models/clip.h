// Two towers and what makes logits of their features' cosines: CLIP (Radford et al. 2021), SigLIP (Zhai et al. 2023),
// ALIGN (Jia et al. 2021).
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

// What makes a logit of a cosine; all numbers are learned.
enum class Similarity : std::uint8_t {
  scale,           // exp(logit_scale) cosine: CLIP
  scale_and_bias,  // exp(logit_scale) cosine + logit_bias: SigLIP
  temperature,     // cosine / temperature: ALIGN
};

// Any image tower with any text tower; parameter names are those of Hugging Face's CLIPModel, SiglipModel, AlignModel.
template <class Image, class Text>
struct Clip {
  struct Config {
    typename Image::Config image;
    typename Text::Config text;
    std::int64_t embed = 512;  // width of the joint space
    Similarity similarity = Similarity::scale;
    bool projection_bias = false;  // of both projections: ALIGN's
  };

  Config config;
  Text text_model;
  Image vision_model;
  std::optional<nn::Linear> visual_projection, text_projection;   // none where the tower ends in the joint space
  std::optional<nn::Param> logit_scale, logit_bias, temperature;  // one number each, as config.similarity says

  // The similarity starts as published: a factor of 1 / 0.07; of 10 with a bias of -10; a temperature of 1.
  Clip(const Config& c, nn::Init& init) : config(c), text_model(c.text, init), vision_model(c.image, init) {
    FOVEA_CHECK(!vision_model.projects() || vision_model.features() == c.embed, "[clip] the image tower ends in ",
                vision_model.features(), " channels, the joint space has ", c.embed);
    FOVEA_CHECK(!text_model.projects() || text_model.features() == c.embed, "[clip] the text tower ends in ",
                text_model.features(), " channels, the joint space has ", c.embed);
    if (!vision_model.projects()) visual_projection.emplace(make_projection(vision_model.features(), c, init));
    if (!text_model.projects()) text_projection.emplace(make_projection(text_model.features(), c, init));
    if (c.similarity == Similarity::scale) logit_scale.emplace(init.constant({}, std::log(1 / 0.07)));
    if (c.similarity == Similarity::scale_and_bias) add_scale_and_bias(init.dtype(), std::log(10.0), -10);
    if (c.similarity == Similarity::temperature) temperature.emplace(init.constant({}, 1));
  }

  DType dtype() const { return (temperature ? temperature : logit_scale)->value().dtype(); }

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
  // Both, of unit length.
  objectives::Embeddings embed(const data::Batch& batch, const nn::Ctx& ctx) const {
    const Tensor images = batch.normalized_images(dtype());
    return embeddings(ops::l2_normalize(encode_image(images, ctx.with_samples(batch.text.sample_ids))),
                      ops::l2_normalize(encode_text(batch.tokens, batch.text, ctx)));
  }
  // Features of unit length with what makes logits of their cosines.
  objectives::Embeddings embeddings(Var image, Var text) const {
    const auto number = [](const std::optional<nn::Param>& p) { return p ? (*p)() : Var(); };
    return {std::move(image), std::move(text), number(logit_scale), number(logit_bias), number(temperature)};
  }

  // Keeps exp(logit_scale) in [1, 100], as CLIP does after every step.
  void clamp_logit_scale() {
    if (!logit_scale) return;
    Tensor& value = logit_scale->value();
    value.fill(std::fmin(std::fmax(value.item(), 0.0), std::log(100.0)));
  }

  // Makes a similarity without a bias one with a bias, for the sigmoid objective.
  void add_logit_bias(double bias) {
    FOVEA_CHECK(config.similarity == Similarity::scale, "[clip] a bias is added to a logit_scale alone");
    config.similarity = Similarity::scale_and_bias;
    add_scale_and_bias(dtype(), logit_scale->value().item(), bias);
  }

  static void visit(auto& self, auto&& f) {
    f("text_model", self.text_model);
    f("vision_model", self.vision_model);
    f("visual_projection", self.visual_projection);
    f("text_projection", self.text_projection);
    f("logit_scale", self.logit_scale), f("logit_bias", self.logit_bias);
    f("temperature", self.temperature);
  }

 private:
  // SiglipModel's are vectors of one number.
  void add_scale_and_bias(DType type, double scale, double bias) {
    logit_scale.emplace(full({1}, scale, type));
    logit_bias.emplace(full({1}, bias, type));
  }
  static nn::Linear make_projection(std::int64_t in, const Config& c, nn::Init& init) {
    if (c.projection_bias) return nn::Linear(init.xavier_uniform({c.embed, in}), init.constant({c.embed}, 0));
    return nn::Linear(init.normal({c.embed, in}, 1 / std::sqrt(static_cast<double>(in))));
  }
};

using ClipModel = Clip<ImageTower, TextTower>;
using ClipConfig = ClipModel::Config;

}  // namespace fovea::models
