#include "fovea/models/clip.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "fovea/models/presets.h"
#include "fovea/objectives/info_nce.h"
#include "fovea/objectives/sigmoid.h"
#include "model_check.h"

namespace fovea::models {
namespace {

VisionTransformerConfig tiny_vit() {
  VisionTransformerConfig config;
  config.image_size = 4;
  config.patch_size = 2;
  config.transformer = {8, 2, 2, 12, Activation::quick_gelu, ops::AttentionKind::full, 1e-5};
  return config;
}

TextTransformerConfig tiny_text(TextPool pool = TextPool::eot) {
  TextTransformerConfig config;
  config.vocabulary = 11;
  config.context = 6;
  config.transformer = {8, 1, 2, 12, Activation::gelu, ops::AttentionKind::causal, 1e-5};
  config.pool = pool;
  return config;
}

const CbowConfig tiny_cbow{11, 6, 7, false};

ClipModel make(const ClipConfig& config, std::uint64_t seed = 1) {
  nn::Init init(seed, DType::f64);
  ClipModel model(config, init);
  testing::perturb(nn::collect(model));
  return model;
}

data::Batch make_batch(std::int64_t side) {
  data::Batch batch = testing::captions({{1, 5, 10}, {1, 2, 3, 4, 10}, {1, 7, 2, 10}});
  batch.images = testing::random_images(3, side);
  return batch;
}

testing::CheckResult check_clip(const ClipConfig& config, double step = 1e-5) {
  const ClipModel model = make(config);
  const data::Batch batch = make_batch(ImageTower::image_size(config.image));
  const nn::Ctx training{.training = true};
  const auto loss = [&] { return objectives::InfoNce{}(model.embed(batch, training), training).total; };
  return testing::check_gradients(nn::collect(model), loss, step);
}

// Pixels are normalised on their way into the tower, in f32.
TEST(Clip, EmbedsPixelsAndTheirNumbersAlike) {
  const ClipModel model = make({tiny_vit(), tiny_text(), 6});
  data::Batch pixels = make_batch(4);
  pixels.normalization.mean = {0.1, 0.2, 0.3};
  pixels.images = random_uniform({3, 4, 4, 3}, RngKey{7}, 0, 255).to(DType::u8);
  data::Batch numbers = pixels;
  numbers.images = image::normalized(pixels.images, pixels.normalization);
  const Tensor a = model.embed(pixels, {}).image.value(), b = model.embed(numbers, {}).image.value();
  EXPECT_EQ(a.dtype(), DType::f64);
  EXPECT_EQ(count_different_bits(a, b), 0);
}

TEST(Clip, GradientsThroughVisionTransformers) {
  for (int options = 0; options < 8; ++options) {
    VisionTransformerConfig vit = tiny_vit();
    vit.class_token = options & 1;
    vit.pre_norm = options & 2;
    vit.patch_bias = options & 4;
    const auto result = check_clip({vit, tiny_text(), 6});
    EXPECT_TRUE(result) << options << ": " << result.message;
  }
}

ClipConfig tiny_siglip() {
  VisionTransformerConfig vit = tiny_vit();
  vit.class_token = vit.pre_norm = false;
  vit.patch_bias = vit.map_head = true;
  TextTransformerConfig text = tiny_text(TextPool::last);
  text.transformer.attention = ops::AttentionKind::full;
  text.head = true;
  text.embed = 8;
  text.pad_token = 3;
  return {vit, text, 8, Similarity::scale_and_bias};
}

TEST(Clip, GradientsThroughSiglipTowers) {
  for (int options = 0; options < 4; ++options) {
    ClipConfig config = tiny_siglip();
    auto& vit = std::get<VisionTransformerConfig>(config.image);
    if (options & 1) vit.patch_dropout = 0.5;
    if (options & 2)
      vit.transformer.layer_scale = std::get<TextTransformerConfig>(config.text).transformer.layer_scale = 0.5;
    const ClipModel model = make(config);
    EXPECT_FALSE(model.visual_projection || model.text_projection);
    const data::Batch batch = make_batch(4);
    const nn::Ctx training{.training = true, .rng = RngKey{7}};
    const auto result = testing::check_gradients(
        nn::collect(model), [&] { return objectives::Sigmoid{}(model.embed(batch, training), training).total; });
    EXPECT_TRUE(result) << options << ": " << result.message;
  }
}

TEST(Clip, PaddedCaptionsAreFilledUpToTheContext) {
  const ClipConfig config = tiny_siglip();
  EXPECT_EQ(TextTower::padded(config.text, {1, 5}), (std::vector<std::int32_t>{1, 5, 3, 3, 3, 3}));
  EXPECT_EQ(TextTower::padded(config.text, {1, 2, 4, 5, 6, 7}), (std::vector<std::int32_t>{1, 2, 4, 5, 6, 7}));
  EXPECT_EQ(TextTower::padded(tiny_text(), {1, 5}), (std::vector<std::int32_t>{1, 5}));
}

TEST(Clip, ABlockWhoseLayerScaleIsOneIsTheBlockWithout) {
  ClipConfig config = tiny_siglip(), scaled = config;
  std::get<VisionTransformerConfig>(scaled.image).transformer.layer_scale = 1;
  nn::Init init(1, DType::f64), same(1, DType::f64);
  const ClipModel a(config, init), b(scaled, same);
  const Tensor images = testing::random_images(2, 4);
  std::vector<nn::ParamEntry> shared;
  for (const nn::ParamEntry& entry : nn::collect(b)) {
    if (entry.path.find(".ls_") == std::string::npos) shared.push_back(entry);
  }
  nn::copy_parameters(nn::collect(a), shared);
  EXPECT_LT(max_abs_difference(a.encode_image(images, {}).value(), b.encode_image(images, {}).value()), 1e-12);
}

TEST(Clip, GradientsThroughEveryTextPool) {
  for (const TextPool pool : {TextPool::eot, TextPool::last, TextPool::first, TextPool::mean}) {
    const auto result = check_clip({tiny_vit(), tiny_text(pool), 6});
    EXPECT_TRUE(result) << result.message;
  }
}

TEST(Clip, GradientsThroughCbow) {
  for (const bool special_tokens : {true, false}) {
    CbowConfig cbow = tiny_cbow;
    cbow.special_tokens = special_tokens;
    const auto result = check_clip({tiny_vit(), cbow, 6});
    EXPECT_TRUE(result) << result.message;
  }
}

// Batch norms enlarge the corner of a ReLU that changes sides: with this step hardly one of thousands does.
constexpr double relu_step = 1e-7;

TEST(Clip, GradientsThroughTrainingModifiedResNet) {
  const auto result = check_clip({ModifiedResNetConfig{64, 2, {1, 1, 1, 1}, 6}, tiny_cbow, 6}, relu_step);
  EXPECT_TRUE(result) << result.message;
}

TEST(Clip, GradientsThroughTrainingResNet) {
  const auto result = check_clip({ResNetConfig{16, 3, {4, 6}, {2, 1}}, tiny_text(), 6}, relu_step);
  EXPECT_TRUE(result) << result.message;
}

TEST(Clip, GradientCheckNoticesALostGradient) {
  const ClipModel model = make({tiny_vit(), tiny_cbow, 6});
  const data::Batch batch = make_batch(4);
  const auto result = testing::check_gradients(nn::collect(model), [&] {
    objectives::Embeddings e = model.embed(batch, nn::Ctx{});
    e.text = e.text.detach();
    return objectives::InfoNce{}(e, nn::Ctx{}).total;
  });
  EXPECT_FALSE(result);
}

// The keys of Hugging Face's CLIPModel, transformers/models/clip/convert_clip_original_pytorch_to_hf.py.
TEST(Clip, NamesAreThoseOfHuggingFace) {
  VisionTransformerConfig vit = tiny_vit();
  vit.transformer.layers = 1;
  const ClipModel model = make({vit, tiny_text(), 6});
  std::vector<std::string> expected{"text_model.embeddings.token_embedding.weight",
                                    "text_model.embeddings.position_embedding.weight",
                                    "text_model.final_layer_norm.weight",
                                    "text_model.final_layer_norm.bias",
                                    "vision_model.embeddings.class_embedding",
                                    "vision_model.embeddings.patch_embedding.weight",
                                    "vision_model.embeddings.position_embedding.weight",
                                    "vision_model.pre_layrnorm.weight",
                                    "vision_model.pre_layrnorm.bias",
                                    "vision_model.post_layernorm.weight",
                                    "vision_model.post_layernorm.bias",
                                    "visual_projection.weight",
                                    "text_projection.weight",
                                    "logit_scale"};
  for (const std::string tower : {"text_model", "vision_model"}) {
    for (const std::string part : {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj",
                                   "layer_norm1", "layer_norm2", "mlp.fc1", "mlp.fc2"}) {
      expected.push_back(tower + ".encoder.layers.0." + part + ".weight");
      expected.push_back(tower + ".encoder.layers.0." + part + ".bias");
    }
  }
  std::vector<std::string> paths = testing::paths_of(nn::collect(model));
  std::sort(paths.begin(), paths.end());
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(paths, expected);
}

TEST(Clip, OnlyMatricesOutsideThePositionsAreDecayed) {
  const ClipModel model = make({tiny_vit(), tiny_text(), 6});
  for (const nn::ParamEntry& entry : nn::collect(model)) {
    const bool decayed = entry.value().rank() >= 2 && entry.path.find("position_embedding") == std::string::npos;
    EXPECT_EQ(entry.leaf->decay, decayed) << entry.path;
  }
}

TEST(Clip, ModifiedResNetProjectsByItself) {
  const ClipModel model = make({ModifiedResNetConfig{64, 2, {1, 1, 1, 1}, 6}, tiny_cbow, 6});
  EXPECT_FALSE(model.visual_projection.has_value());
  EXPECT_TRUE(model.text_projection.has_value());
  EXPECT_EQ(testing::paths_of(nn::collect(model))[1], "vision_model.conv1.weight");
  nn::Init init(1);
  EXPECT_THROW(ClipModel({ModifiedResNetConfig{64, 2, {1, 1, 1, 1}, 6}, tiny_cbow, 7}, init), Error);
}

TEST(Clip, EmbeddingsHaveUnitLengthAndTheDirectionOfTheFeatures) {
  const ClipModel model = make({tiny_vit(), tiny_text(), 6});
  const data::Batch batch = make_batch(4);
  const objectives::Embeddings e = model.embed(batch, nn::Ctx{});
  const Tensor image = model.encode_image(batch.images, nn::Ctx{}).value();
  const Tensor text = model.encode_text(batch.tokens, batch.text, nn::Ctx{}).value();
  for (const auto& [unit, plain] : {std::pair{e.image.value(), image}, std::pair{e.text.value(), text}}) {
    ASSERT_EQ(unit.shape(), (Shape{3, 6}));
    for (std::int64_t b = 0; b < 3; ++b) {
      double length = 0;
      for (std::int64_t i = 0; i < 6; ++i) length += plain.at(b * 6 + i) * plain.at(b * 6 + i);
      for (std::int64_t i = 0; i < 6; ++i)
        EXPECT_NEAR(unit.at(b * 6 + i), plain.at(b * 6 + i) / std::sqrt(length), 1e-12);
    }
  }
}

TEST(Clip, LogitScaleStartsAtOneOver0_07AndIsKeptBetween1And100) {
  nn::Init init(1);
  ClipModel model({tiny_vit(), tiny_cbow, 6}, init);
  EXPECT_NEAR(model.logit_scale->value().item(), 2.6592600369, 1e-6);
  for (const auto& [before, after] : {std::pair{-0.5, 0.0}, {3.0, 3.0}, {5.0, 4.605170186}}) {
    model.logit_scale->value().fill(before);
    model.clamp_logit_scale();
    EXPECT_NEAR(model.logit_scale->value().item(), after, 1e-6);
  }
}

TEST(Clip, SimilarityHasItsParametersAndStartsAsPublished) {
  nn::Init init(1);
  const ClipConfig config{tiny_vit(), tiny_cbow, 6};
  ClipConfig siglip = config, align = config;
  siglip.similarity = Similarity::scale_and_bias;
  align.similarity = Similarity::temperature;
  const ClipModel biased(siglip, init), divided(align, init);
  EXPECT_FALSE(biased.temperature || divided.logit_scale || divided.logit_bias);
  EXPECT_NEAR(biased.embeddings({}, {}).scale().item(), 10, 1e-5);
  EXPECT_EQ(biased.logit_bias->value().item(), -10);
  EXPECT_EQ(divided.temperature->value().item(), 1);
  for (const ClipConfig& c : {config, siglip, align}) EXPECT_EQ(parse_clip_config(to_json(c)).similarity, c.similarity);

  ClipModel model(config, init);
  model.logit_scale->value().fill(3);
  model.add_logit_bias(-4);
  EXPECT_EQ(model.config.similarity, Similarity::scale_and_bias);
  EXPECT_EQ(model.logit_scale->value().item(), 3);
  EXPECT_EQ(model.logit_bias->value().item(), -4);
}

TEST(Clip, GradientsOfScaleAndBiasAndOfTheTemperature) {
  const data::Batch batch = make_batch(4);
  const nn::Ctx training{.training = true};
  for (const Similarity similarity : {Similarity::scale_and_bias, Similarity::temperature}) {
    ClipConfig config{tiny_vit(), tiny_cbow, 6};
    config.similarity = similarity;
    const ClipModel model = make(config);
    const auto loss = [&] {
      const objectives::Embeddings e = model.embed(batch, training);
      return (e.logit_bias.defined() ? objectives::Sigmoid{}(e, training) : objectives::InfoNce{}(e, training)).total;
    };
    const auto result = testing::check_gradients(nn::collect(model), loss);
    EXPECT_TRUE(result) << result.message;
  }
}

TEST(Clip, CopiedParametersGiveTheSameEmbeddings) {
  for (const ClipConfig& config : {ClipConfig{tiny_vit(), tiny_text(), 6},
                                   ClipConfig{ModifiedResNetConfig{64, 2, {1, 1, 1, 1}, 6}, tiny_cbow, 6}}) {
    const ClipModel model = make(config);
    const ClipModel copy = make(config, 2);
    const data::Batch batch = make_batch(ImageTower::image_size(config.image));
    const Tensor image = model.embed(batch, nn::Ctx{}).image.value();
    EXPECT_GT(max_abs_difference(copy.embed(batch, nn::Ctx{}).image.value(), image), 1e-3);
    nn::copy_parameters(nn::collect(model), nn::collect(copy));
    EXPECT_EQ(count_different_bits(copy.embed(batch, nn::Ctx{}).image.value(), image), 0);
    EXPECT_EQ(
        count_different_bits(copy.embed(batch, nn::Ctx{}).text.value(), model.embed(batch, nn::Ctx{}).text.value()), 0);
  }
}

TEST(Clip, AFrozenTowerGetsNoGradient) {
  const ClipModel model = make({tiny_vit(), tiny_text(), 6});
  const auto entries = nn::collect(model);
  nn::freeze(entries, {"vision_model.*"});
  backward(objectives::InfoNce{}(model.embed(make_batch(4), nn::Ctx{}), nn::Ctx{}).total);
  for (const nn::ParamEntry& entry : entries)
    EXPECT_EQ(entry.grad().defined(), !entry.path.starts_with("vision_model.")) << entry.path;
}

// The last blocks compute the class token and the end-of-text token alone; captions may go on behind the latter.
TEST(Clip, ExactSavingsGiveTheDenseGradients) {
  for (const auto kind : {ops::AttentionKind::causal, ops::AttentionKind::full}) {
    TextTransformerConfig text = tiny_text();
    text.transformer.attention = kind;
    text.transformer.layers = 2;
    const ClipModel model = make({tiny_vit(), text, 6});
    data::Batch batch = testing::captions({{1, 5, 10}, {1, 2, 10, 3, 4}, {1, 10, 7, 2}});
    batch.images = testing::random_images(3, 4);
    const auto entries = nn::collect(model);
    const auto gradients = [&](bool every_token) {
      nn::Ctx ctx{.training = true};
      ctx.every_token = every_token;
      for (const nn::ParamEntry& entry : entries) entry.leaf->node->has_grad = false;
      backward(objectives::InfoNce{}(model.embed(batch, ctx), ctx).total);
      std::vector<Tensor> all;
      for (const nn::ParamEntry& entry : entries) all.push_back(entry.grad().clone());
      return all;
    };
    const auto saving = gradients(false), dense = gradients(true);
    for (std::size_t i = 0; i < entries.size(); ++i) {
      EXPECT_LE(testing::relative_error(saving[i], dense[i], 1e-6), 1e-9) << entries[i].path;
    }
  }
}

}  // namespace
}  // namespace fovea::models
