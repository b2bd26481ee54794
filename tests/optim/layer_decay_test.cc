#include "fovea/optim/layer_decay.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "../support/error_of.h"
#include "fovea/models/clip.h"
#include "fovea/models/presets.h"

namespace fovea::optim {
namespace {

// Depth of every entry, from a model whose rates were decayed by 0.5.
std::map<std::string, double> depths(const char* config, const char* prefix) {
  nn::Init init = nn::Init::none();
  models::ClipModel model(models::parse_clip_config(config), init);
  const auto entries = nn::collect(model);
  decay_layer_rates(entries, prefix, 0.5);
  std::map<std::string, double> found;
  for (const nn::ParamEntry& entry : entries) found[entry.path] = -std::log2(entry.leaf->lr_scale);
  return found;
}

TEST(LayerDecay, CountsFromTheHeadOfAVisionTransformer) {
  auto depth =
      depths(R"({"image": {"type": "vit", "image_size": 16, "patch_size": 8, "width": 8, "layers": 3, "heads": 2},
                          "text": {"type": "transformer", "vocabulary": 9, "width": 8, "layers": 1, "heads": 2},
                          "embed": 4})",
             "vision_model.");
  EXPECT_EQ(depth.at("vision_model.post_layernorm.weight"), 0);
  EXPECT_EQ(depth.at("vision_model.encoder.layers.2.mlp.fc1.weight"), 1);
  EXPECT_EQ(depth.at("vision_model.encoder.layers.0.self_attn.q_proj.weight"), 3);
  EXPECT_EQ(depth.at("vision_model.encoder.layers.0.self_attn.v_proj.weight"), 3);
  EXPECT_EQ(depth.at("vision_model.embeddings.patch_embedding.weight"), 4);
  EXPECT_EQ(depth.at("vision_model.embeddings.class_embedding"), 4);
  EXPECT_EQ(depth.at("text_model.encoder.layers.0.mlp.fc1.weight"), 0);
  EXPECT_EQ(depth.at("visual_projection.weight"), 0);
  EXPECT_EQ(depth.at("logit_scale"), 0);
}

TEST(LayerDecay, CountsTheBlocksOfAllStagesOfAResNet) {
  auto depth = depths(R"({"image": {"type": "resnet", "image_size": 16, "channels": [8, 16], "blocks": [2, 1]},
                          "text": {"type": "cbow", "vocabulary": 9, "context": 8, "width": 8}, "embed": 4})",
                      "vision_model.");
  EXPECT_EQ(depth.at("vision_model.encoder.stages.1.layers.0.layer.1.convolution.weight"), 1);
  EXPECT_EQ(depth.at("vision_model.encoder.stages.1.layers.0.shortcut.convolution.weight"), 1);
  EXPECT_EQ(depth.at("vision_model.encoder.stages.0.layers.0.layer.0.convolution.weight"), 3);
  EXPECT_EQ(depth.at("vision_model.embedder.embedder.convolution.weight"), 4);
}

TEST(LayerDecay, ATowerWithoutBlocksIsItsOwnHead) {
  auto depth = depths(R"({"image": {"type": "resnet", "image_size": 16, "channels": [8], "blocks": [1]},
                          "text": {"type": "cbow", "vocabulary": 9, "context": 8, "width": 8}, "embed": 4})",
                      "text_model.");
  for (const auto& [path, layers] : depth) EXPECT_EQ(layers, 0) << path;
}

TEST(LayerDecay, RefusesFactorsThatAreNone) {
  EXPECT_EQ(tests::error_of([] { decay_layer_rates({}, "x.", 0); }),
            "[layer_decay] decay is 0, expected a number of (0, 1]");
}

}  // namespace
}  // namespace fovea::optim
