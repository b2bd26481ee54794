// How models start, against openai/CLIP, clip/model.py, `initialize_parameters`, and PyTorch's defaults for the rest.
#include <gtest/gtest.h>

#include <map>

#include "fovea/models/clip.h"
#include "model_check.h"

namespace fovea::models {
namespace {

struct Spread {
  double mean = 0, stddev = 0, largest = 0;
};

Spread spread(const Tensor& x) {
  Spread s;
  const auto n = static_cast<double>(x.numel());
  s.mean = sum(x) / n;
  for (std::int64_t i = 0; i < x.numel(); ++i) s.stddev += (x.at(i) - s.mean) * (x.at(i) - s.mean) / n;
  s.stddev = std::sqrt(s.stddev);
  s.largest = max_abs(x);
  return s;
}

std::map<std::string, Tensor> values(const ClipConfig& config) {
  nn::Init init(1);
  const ClipModel model(config, init);
  std::map<std::string, Tensor> named;
  for (const nn::ParamEntry& entry : nn::collect(model)) named.emplace(entry.path, entry.value());
  return named;
}

// Tolerances are five standard errors of the estimates.
void expect_normal(const Tensor& x, double stddev, const std::string& name) {
  const Spread s = spread(x);
  const double root = std::sqrt(static_cast<double>(x.numel()));
  EXPECT_NEAR(s.mean, 0, 5 * stddev / root) << name;
  EXPECT_NEAR(s.stddev, stddev, 5 * stddev / (1.41 * root)) << name;
  EXPECT_GT(s.largest, 1.9 * stddev) << name << " is not normal";  // a uniform one ends at 1.73
}

void expect_uniform(const Tensor& x, double bound, const std::string& name) {
  const Spread s = spread(x);
  const double root = std::sqrt(static_cast<double>(x.numel()));
  EXPECT_NEAR(s.mean, 0, 5 * bound / (1.73 * root)) << name;
  EXPECT_NEAR(s.stddev, bound / std::sqrt(3), 3 * bound / root) << name;
  EXPECT_LE(s.largest, bound * (1 + 1e-6)) << name;
}

void expect_constant(const Tensor& x, double value, const std::string& name) {
  for (std::int64_t i = 0; i < x.numel(); ++i) ASSERT_EQ(x.at(i), value) << name;
}

constexpr double text_width = 64, vision_width = 96, text_layers = 3;

ClipConfig small_clip() {
  VisionTransformerConfig image;
  image.image_size = 32;
  image.patch_size = 8;
  image.patch_bias = true;
  image.transformer = {96, 2, 3, 384, Activation::quick_gelu, ops::AttentionKind::full, 1e-5};
  TextTransformerConfig text;
  text.vocabulary = 300;
  text.context = 40;
  text.transformer = {64, 3, 4, 256, Activation::quick_gelu, ops::AttentionKind::causal, 1e-5};
  return {image, text, 48};
}

TEST(InitialValues, TextTransformer) {
  auto v = values(small_clip());
  expect_normal(v.at("text_model.embeddings.token_embedding.weight"), 0.02, "token embedding");
  expect_normal(v.at("text_model.embeddings.position_embedding.weight"), 0.01, "positions");
  expect_normal(v.at("text_projection.weight"), std::pow(text_width, -0.5), "text projection");
  const double back = std::pow(text_width, -0.5) * std::pow(2 * text_layers, -0.5);
  for (const std::string i : {"0", "1", "2"}) {
    const std::string layer = "text_model.encoder.layers." + i + ".";
    for (const std::string part : {"q", "k", "v"}) {
      expect_normal(v.at(layer + "self_attn." + part + "_proj.weight"), std::pow(text_width, -0.5), part);
      expect_constant(v.at(layer + "self_attn." + part + "_proj.bias"), 0, part);
    }
    expect_normal(v.at(layer + "self_attn.out_proj.weight"), back, "out_proj");
    expect_constant(v.at(layer + "self_attn.out_proj.bias"), 0, "out_proj bias");
    expect_normal(v.at(layer + "mlp.fc1.weight"), std::pow(2 * text_width, -0.5), "fc1");
    expect_normal(v.at(layer + "mlp.fc2.weight"), back, "fc2");
    expect_uniform(v.at(layer + "mlp.fc1.bias"), std::pow(text_width, -0.5), "fc1 bias");
    expect_uniform(v.at(layer + "mlp.fc2.bias"), std::pow(4 * text_width, -0.5), "fc2 bias");
    expect_constant(v.at(layer + "layer_norm1.weight"), 1, "gain");
    expect_constant(v.at(layer + "layer_norm1.bias"), 0, "shift");
  }
}

TEST(InitialValues, VisionTransformer) {
  auto v = values(small_clip());
  const double scale = std::pow(vision_width, -0.5);
  expect_normal(v.at("vision_model.embeddings.class_embedding"), scale, "class embedding");
  expect_normal(v.at("vision_model.embeddings.position_embedding.weight"), scale, "positions");
  expect_normal(v.at("visual_projection.weight"), scale, "projection");
  expect_uniform(v.at("vision_model.embeddings.patch_embedding.weight"), 1 / std::sqrt(3.0 * 8 * 8), "patches");
  for (const std::string i : {"0", "1"}) {
    const std::string layer = "vision_model.encoder.layers." + i + ".";
    for (const std::string part : {"q", "k", "v"}) {
      expect_uniform(v.at(layer + "self_attn." + part + "_proj.weight"), std::sqrt(6 / (4 * vision_width)), part);
      expect_constant(v.at(layer + "self_attn." + part + "_proj.bias"), 0, part);
    }
    expect_uniform(v.at(layer + "self_attn.out_proj.weight"), scale, "out_proj");
    expect_constant(v.at(layer + "self_attn.out_proj.bias"), 0, "out_proj bias");
    expect_uniform(v.at(layer + "mlp.fc1.weight"), scale, "fc1");
    expect_uniform(v.at(layer + "mlp.fc1.bias"), scale, "fc1 bias");
    expect_uniform(v.at(layer + "mlp.fc2.weight"), scale / 2, "fc2");
    expect_uniform(v.at(layer + "mlp.fc2.bias"), scale / 2, "fc2 bias");
  }
}

TEST(InitialValues, ModifiedResNet) {
  const auto v = values({ModifiedResNetConfig{64, 4, {1, 2, 1, 1}, 48}, CbowConfig{300, 20, 64, false}, 48});
  const double scale = 1 / std::sqrt(32.0 * 4);
  expect_normal(v.at("vision_model.attnpool.positional_embedding"), scale, "positions");
  for (const std::string part : {"q", "k", "v", "c"}) {
    expect_normal(v.at("vision_model.attnpool." + part + "_proj.weight"), scale, part);
    expect_uniform(v.at("vision_model.attnpool." + part + "_proj.bias"), scale, part + " bias");
  }
  expect_uniform(v.at("vision_model.conv2.weight"), 1 / std::sqrt(9.0 * 2), "stem");
  int last_gains = 0;
  for (const auto& [name, value] : v) {
    const bool in_block = name.find(".layer") != std::string::npos;
    if (name.ends_with("bn3.weight") && in_block) {
      ++last_gains;
      expect_constant(value, 0, name);
    } else if (name.find("bn") != std::string::npos && name.ends_with("weight")) {
      expect_constant(value, 1, name);
    }
    if (in_block && name.find("conv") != std::string::npos) {
      expect_uniform(value, 1 / std::sqrt(static_cast<double>(value.shape().inner(0))), name);
    }
  }
  EXPECT_EQ(last_gains, 5);
  expect_normal(v.at("text_model.embeddings.token_embedding.weight"), 0.02, "words");
  expect_normal(v.at("text_projection.weight"), 1 / 8.0, "text projection");
}

// google-research/big_vision, models/vit.py and models/proj/image_text/text_transformer.py.
TEST(InitialValues, Siglip) {
  ClipConfig config = small_clip();
  auto& image = std::get<VisionTransformerConfig>(config.image);
  image.class_token = image.pre_norm = false;
  image.map_head = true;
  auto& text = std::get<TextTransformerConfig>(config.text);
  text.head = true;
  config.embed = text.embed = 96;
  config.similarity = Similarity::scale_and_bias;
  auto v = values(config);
  const auto expect_blocks = [&](const std::string& tower, double width) {
    const std::string layer = tower + ".encoder.layers.0.";
    for (const std::string part : {"q", "k", "v", "out"}) {
      expect_uniform(v.at(layer + "self_attn." + part + "_proj.weight"), std::sqrt(3 / width), part);
      expect_constant(v.at(layer + "self_attn." + part + "_proj.bias"), 0, part);
    }
    for (const std::string part : {"fc1", "fc2"}) {
      expect_uniform(v.at(layer + "mlp." + part + ".weight"), std::sqrt(6 / (5 * width)), part);
      expect_normal(v.at(layer + "mlp." + part + ".bias"), 1e-6, part + " bias");
    }
    expect_normal(v.at(tower + ".embeddings.position_embedding.weight"), std::pow(width, -0.5), "positions");
  };
  expect_blocks("vision_model", vision_width);
  expect_blocks("text_model", text_width);
  // LeCun's normal, cut off at two standard deviations of the uncut one.
  const auto expect_lecun = [](const Tensor& x, double inputs, const std::string& name) {
    const Spread s = spread(x);
    EXPECT_NEAR(s.stddev, 1 / std::sqrt(inputs), 0.02 / std::sqrt(inputs)) << name;
    EXPECT_LE(s.largest, 2 / 0.8796 / std::sqrt(inputs)) << name;
  };
  expect_lecun(v.at("vision_model.embeddings.patch_embedding.weight"), 3.0 * 8 * 8, "patches");
  expect_constant(v.at("vision_model.embeddings.patch_embedding.bias"), 0, "patch bias");
  expect_uniform(v.at("vision_model.head.probe"), std::sqrt(6 / (1 + vision_width)), "probe");
  expect_uniform(v.at("vision_model.head.attention.q_proj.weight"), std::sqrt(3 / vision_width), "head");
  expect_uniform(v.at("vision_model.head.mlp.fc1.weight"), std::sqrt(6 / (5 * vision_width)), "head");
  expect_normal(v.at("text_model.embeddings.token_embedding.weight"), std::pow(text_width, -0.5), "words");
  expect_lecun(v.at("text_model.head.weight"), text_width, "text head");
  expect_constant(v.at("text_model.head.bias"), 0, "text head");
  EXPECT_NEAR(v.at("logit_scale").item(), std::log(10), 1e-6);
  EXPECT_EQ(v.at("logit_bias").item(), -10);
}

}  // namespace
}  // namespace fovea::models
