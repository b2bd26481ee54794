#include "fovea/models/presets.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace fovea::models {
namespace {

std::string parse_error(const std::string& json) {
  try {
    parse_clip_config(json);
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

void expect_contains(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << "no \"" << part << "\" in: " << text;
}

// A small configuration with one key set to something else.
std::string with_image(const std::string& fields) {
  return R"({"image": {"type": "vit", "image_size": 8, "patch_size": 4, "width": 8, "layers": 1, "heads": 2)" + fields +
         R"(}, "text": {"type": "cbow"}})";
}

struct Published {
  const char* name;
  std::int64_t parameters;           // sum(p.numel() for p in open_clip.create_model(name).parameters())
  double image_gflops, text_gflops;  // open_clip, docs/model_profile.csv; one caption of 77 tokens
};

constexpr Published published[] = {
    {"RN50", 102007137, 12.22, 5.96},
    {"RN101", 119688033, 19.54, 5.96},
    {"RN50x4", 178300601, 42.56, 9.27},
    {"RN50x16", 290979217, 149.39, 13.3},
    {"RN50x64", 623258305, 529.11, 23.55},
    {"ViT-S-32", 63085825, 2.29, 3.38},
    {"ViT-S-16", 62257537, 9.2, 3.38},
    {"ViT-B-32", 151277313, 8.82, 5.96},
    {"ViT-B-32-quickgelu", 151277313, 8.82, 5.96},
    {"ViT-B-16", 149620737, 35.13, 5.96},
    {"ViT-B-16-quickgelu", 149620737, 35.13, 5.96},
    {"ViT-L-14", 427616513, 162.03, 13.3},
    {"ViT-L-14-quickgelu", 427616513, 162.03, 13.3},
    {"ViT-L-14-336", 427944193, 381.92, 13.3},
    {"ViT-L-14-336-quickgelu", 427944193, 381.92, 13.3},
    {"ViT-H-14", 986109441, 334.59, 47.09},
    {"ViT-g-14", 1366678273, 534.06, 47.09},
    {"ViT-bigG-14", 2539567105, 967.5, 97.86},
};

// The published code computes the attention pool's queries and outputs for every token and keeps the first.
double unneeded_gflops(const ClipConfig& config) {
  const auto* resnet = std::get_if<ModifiedResNetConfig>(&config.image);
  if (resnet == nullptr) return 0;
  const auto channels = static_cast<double>(resnet->channels()), embed = static_cast<double>(resnet->embed);
  const auto cells = static_cast<double>(resnet->grid() * resnet->grid());
  return 2e-9 * cells * channels * (channels + 2 * (cells + 1) + embed);
}

TEST(Presets, HaveThePublishedNumberOfParameters) {
  for (const Published& p : published)
    EXPECT_EQ(model_size(clip_preset(p.name), 77).parameters, p.parameters) << p.name;
}

// sum(p.numel() for p in transformers.SiglipModel(config).parameters()) with the published configurations.
TEST(Presets, SiglipHasThePublishedNumberOfParameters) {
  for (const auto& [name, parameters] : {std::pair{"ViT-B-16-SigLIP", 203155970},
                                         {"ViT-L-16-SigLIP-256", 652150786},
                                         {"ViT-SO400M-14-SigLIP-384", 877960498},
                                         {"ViT-B-32-SigLIP2-256", 376856066},
                                         {"ViT-gopt-16-SigLIP2-256", 1871393906}}) {
    EXPECT_EQ(model_size(clip_preset(name), 64).parameters, parameters) << name;
  }
}

TEST(Presets, HaveThePublishedNumberOfOperations) {
  for (const Published& p : published) {
    const ClipConfig config = clip_preset(p.name);
    const ModelSize size = model_size(config, 77);
    EXPECT_NEAR(size.image_flops * 1e-9 + unneeded_gflops(config), p.image_gflops, 0.006 + 1e-4 * p.image_gflops)
        << p.name;
    EXPECT_NEAR(size.text_flops * 1e-9, p.text_gflops, 0.006 + 1e-4 * p.text_gflops) << p.name;
  }
}

// torchvision.models.resnet18: 11,689,512 parameters of which the classifier has 513,000, and 1.814 GMACs of which it
// has 0.0005.
TEST(Presets, ResNetsAreThoseOfTorchvision) {
  const ModelSize small = model_size(clip_preset("ResNet18"), 77);
  const std::int64_t text = 151277313 - 87849216;  // ViT-B-32 without its image tower
  EXPECT_EQ(small.parameters, 11689512 - 513000 + 512 * 512 + text);
  EXPECT_NEAR(small.image_flops / 2e9, 1.814, 0.001);
  const ModelSize large = model_size(clip_preset("ResNet34"), 77);
  EXPECT_EQ(large.parameters, 21797672 - 513000 + 512 * 512 + text);
  EXPECT_NEAR(large.image_flops / 2e9, 3.664, 0.001);
}

TEST(Presets, SizesOfAllAreKnown) {
  for (const std::string& name : clip_preset_names()) {
    const ModelSize size = model_size(clip_preset(name), 16);
    EXPECT_GT(size.parameters, 1000000) << name;
    EXPECT_GT(size.image_flops, 0) << name;
    EXPECT_GT(size.text_flops, 0) << name;
  }
}

TEST(Presets, OpenAiCheckpointsUseQuickGelu) {
  for (const Published& p : published) {
    const ClipConfig config = clip_preset(p.name);
    const std::string name = p.name;
    const bool quick = name.starts_with("RN") || name.ends_with("-quickgelu");
    const Activation expected = quick ? Activation::quick_gelu : Activation::gelu;
    EXPECT_EQ(std::get<TextTransformerConfig>(config.text).transformer.activation, expected) << name;
    if (const auto* vit = std::get_if<VisionTransformerConfig>(&config.image)) {
      EXPECT_EQ(vit->transformer.activation, expected) << name;
    }
  }
}

TEST(Presets, SurviveJson) {
  for (const std::string& name : clip_preset_names()) {
    const ClipConfig config = clip_preset(name);
    const ClipConfig again = parse_clip_config(to_json(config));
    EXPECT_EQ(to_json(again), to_json(config)) << name;
    EXPECT_EQ(ImageTower::flops(again.image), ImageTower::flops(config.image)) << name;
    EXPECT_EQ(TextTower::flops(again.text, 9), TextTower::flops(config.text, 9)) << name;
    EXPECT_EQ(parse_clip_config("\"" + name + "\"").embed, config.embed) << name;
  }
}

TEST(Presets, JsonSetsEveryField) {
  const ClipConfig c = parse_clip_config(R"({"type": "clip", "embed": 6,
    "image": {"type": "vit", "image_size": 12, "patch_size": 3, "class_token": false, "pre_norm": false,
              "patch_bias": true, "width": 10, "layers": 2, "heads": 5, "hidden": 7, "activation": "silu",
              "attention": "causal", "eps": 0.5},
    "text": {"type": "transformer", "vocabulary": 11, "context": 9, "pool": "mean", "width": 8, "layers": 3,
             "heads": 4, "attention": "full", "activation": "relu", "eps": 1e-12}})");
  EXPECT_EQ(c.embed, 6);
  const auto& image = std::get<VisionTransformerConfig>(c.image);
  EXPECT_EQ(image.image_size, 12);
  EXPECT_EQ(image.patch_size, 3);
  EXPECT_FALSE(image.class_token || image.pre_norm);
  EXPECT_TRUE(image.patch_bias);
  EXPECT_EQ(image.transformer.width, 10);
  EXPECT_EQ(image.transformer.layers, 2);
  EXPECT_EQ(image.transformer.heads, 5);
  EXPECT_EQ(image.transformer.hidden, 7);
  EXPECT_EQ(image.transformer.activation, Activation::silu);
  EXPECT_EQ(image.transformer.attention, ops::AttentionKind::causal);
  EXPECT_EQ(image.transformer.eps, 0.5);
  const auto& text = std::get<TextTransformerConfig>(c.text);
  EXPECT_EQ(text.vocabulary, 11);
  EXPECT_EQ(text.context, 9);
  EXPECT_EQ(text.pool, TextPool::mean);
  EXPECT_EQ(text.transformer.hidden, 4 * 8);  // not given
  EXPECT_EQ(text.transformer.attention, ops::AttentionKind::full);
  EXPECT_EQ(text.transformer.eps, 1e-12);
  EXPECT_EQ(to_json(parse_clip_config(to_json(c))), to_json(c));
}

TEST(Presets, JsonOfTheOtherTowers) {
  const ClipConfig modified = parse_clip_config(R"({"embed": 24,
    "image": {"type": "modified_resnet", "image_size": 64, "width": 8, "blocks": [1, 2, 3, 4]},
    "text": {"type": "cbow", "vocabulary": 7, "context": 5, "width": 3, "special_tokens": true}})");
  EXPECT_EQ(std::get<ModifiedResNetConfig>(modified.image).embed, 24);
  EXPECT_EQ(std::get<ModifiedResNetConfig>(modified.image).blocks, (std::array<std::int64_t, 4>{1, 2, 3, 4}));
  EXPECT_TRUE(std::get<CbowConfig>(modified.text).special_tokens);
  const ClipConfig plain = parse_clip_config(R"({"text": {"type": "cbow"},
    "image": {"type": "resnet", "image_size": 32, "stem_kernel": 3, "channels": [4, 8, 9], "blocks": [1, 2, 1]}})");
  const auto& resnet = std::get<ResNetConfig>(plain.image);
  EXPECT_EQ(resnet.stem_kernel, 3);
  EXPECT_EQ(resnet.channels, (std::vector<std::int64_t>{4, 8, 9}));
  EXPECT_EQ(resnet.blocks, (std::vector<std::int64_t>{1, 2, 1}));
}

TEST(Presets, JsonOfBert) {
  const std::string image = R"({"image": {"type": "vit"}, "text": )";
  const ClipConfig mini = parse_clip_config(image + R"("bert-mini"})");
  const auto& bert = std::get<BertConfig>(mini.text);
  EXPECT_EQ(bert.transformer.layers, 4);
  EXPECT_EQ(bert.transformer.width, 256);
  EXPECT_EQ(bert.transformer.hidden, 1024);
  EXPECT_EQ(bert.padding_token, 0);
  EXPECT_EQ(to_json(parse_clip_config(to_json(mini))), to_json(mini));
  const ClipConfig set = parse_clip_config(image + R"({"type": "bert", "vocabulary": 50, "context": 9, "width": 20,
    "layers": 2, "heads": 5, "token_types": 3, "dropout": 0.1, "pooler": true, "padding_token": -1}})");
  const auto& own = std::get<BertConfig>(set.text);
  EXPECT_EQ(own.vocabulary, 50);
  EXPECT_EQ(own.context, 9);
  EXPECT_EQ(own.token_types, 3);
  EXPECT_EQ(own.dropout, 0.1);
  EXPECT_TRUE(own.pooler);
  EXPECT_EQ(own.padding_token, -1);
  EXPECT_EQ(own.transformer.hidden, 80);
  EXPECT_EQ(own.transformer.activation, Activation::gelu);
  EXPECT_EQ(own.transformer.eps, 1e-12);
  EXPECT_EQ(to_json(parse_clip_config(to_json(set))), to_json(set));
  expect_contains(parse_error(image + R"("bert-huge"})"),
                  "no text tower is called \"bert-huge\", expected one of bert-");
  expect_contains(parse_error(image + R"({"type": "bert", "padding_token": -2}})"), "model.text.padding_token is -2");
  nn::Init init = nn::Init::none();
  const Bert base(bert_preset("bert-base"), init);
  EXPECT_EQ(nn::count_parameters(nn::collect(base)), 108'891'648);  // of BertModel without pooler
}

TEST(Presets, UnknownNamesSuggestTheNearest) {
  try {
    clip_preset("ViT-B32");
    ADD_FAILURE() << "there is no such preset";
  } catch (const Error& error) {
    expect_contains(error.what(), "\"ViT-B32\"");
    expect_contains(error.what(), "\nhint: did you mean ViT-B-32?");
  }
}

TEST(Presets, BadJsonNamesTheKey) {
  ASSERT_EQ(parse_error(with_image("")), "nothing was thrown");
  expect_contains(parse_error(with_image(R"(, "patchsize": 4)")),
                  "unknown key model.image.patchsize\nhint: did you mean model.image.patch_size?");
  expect_contains(parse_error(with_image(R"(, "eps": "small")")), "model.image.eps is \"small\", expected a number");
  expect_contains(parse_error(with_image(R"(, "pre_norm": 1)")), "model.image.pre_norm is 1, expected true or false");
  expect_contains(parse_error(with_image(R"(, "hidden": 0)")), "model.image.hidden is 0, expected a whole number");
  expect_contains(parse_error(with_image(R"(, "hidden": 2.5)")), "model.image.hidden is 2.5");
  expect_contains(parse_error(with_image(R"(, "hidden": 1e9)")), "model.image.hidden is");
  expect_contains(parse_error(with_image(R"(, "hidden": 18446744073709551615)")), "model.image.hidden is");
  expect_contains(parse_error(with_image(R"(, "activation": "swish")")), "expected one of relu, gelu");
  expect_contains(parse_error(R"({"image": {"type": "vgg"}, "text": {"type": "cbow"}})"),
                  "model.image.type is \"vgg\", expected one of vit, modified_resnet, resnet");
  expect_contains(parse_error(R"({"image": {}, "text": {"type": "cbow"}})"),
                  "model.image.type is null, expected one of vit");
  expect_contains(parse_error(R"({"image": {"type": "modified_resnet", "blocks": [1, 2]}, "text": {"type": "cbow"}})"),
                  "model.image.blocks is [1,2], expected a list of 4 numbers");
  expect_contains(parse_error(R"({"image": {"type": "resnet", "blocks": 3}, "text": {"type": "cbow"}})"),
                  "model.image.blocks is 3, expected a list");
  expect_contains(parse_error(R"({"image": {"type": "resnet", "blocks": [1, "x"]}, "text": {"type": "cbow"}})"),
                  "model.image.blocks.1 is \"x\"");
  expect_contains(parse_error(R"({"type": "blip", "image": {"type": "resnet"}, "text": {"type": "cbow"}})"),
                  "model.type is \"blip\"");
  expect_contains(parse_error(R"({"text": {"type": "cbow"}})"), "expected a preset's name, or an object");
  expect_contains(parse_error("[1, 2"), "not valid JSON");
  expect_contains(parse_error("3"), "expected a preset's name");
  expect_contains(parse_error("\"RN5O\""), "did you mean RN50?");
}

}  // namespace
}  // namespace fovea::models
