#include "fovea/image/transform.h"

#include <gtest/gtest.h>

#include "golden_lines.h"

namespace fovea::image {
namespace {

TransformConfig augmented(int size) {
  TransformConfig config;
  config.size = size;
  config.augment.crop.scale = {0.5, 1};
  config.augment.affine = {15, {0.9, 1.2}, 0.1, 0.1, 0.5, {255, 255, 255}};
  config.augment.color = {0.2, 0.2, 0.2, 0.1, 0.1, 0.2};
  config.augment.blur.probability = 0.5;
  config.augment.erase = {0.5, {0.1, 0.2}, {0.5, 2}, {1, 2, 3}};
  return config;
}

TEST(Transform, EvaluationFollowsTheResizeMode) {
  const Image image = golden_image("rgb.png");
  TransformConfig config;
  config.size = 8;
  EXPECT_EQ(eval_transform(image, config), resize_and_center_crop(image, 8, Interpolation::bicubic));
  config.resize_mode = ResizeMode::squash;
  config.interpolation = Interpolation::bilinear;
  EXPECT_EQ(eval_transform(image, config), resize(image, 8, 8, Interpolation::bilinear));
}

TEST(Transform, TrainingWithoutAugmentationIsEvaluation) {
  const Image image = golden_image("rgb.png");
  TransformConfig config;
  config.size = 8;
  Rng rng(1);
  EXPECT_EQ(train_transform(image, config, rng), eval_transform(image, config));
}

TEST(Transform, TrainingFollowsItsKey) {
  const Image image = golden_image("smooth.png");
  const auto transformed = [&](std::uint64_t seed) {
    Rng rng(seed);
    return train_transform(image, augmented(12), rng);
  };
  EXPECT_EQ(transformed(1), transformed(1));
  EXPECT_NE(transformed(1), transformed(2));
  EXPECT_EQ(transformed(1).width, 12);
  EXPECT_EQ(transformed(1).height, 12);
}

TEST(Transform, NormalizesByChannel) {
  Image image(1, 2);
  image.pixels = {0, 128, 255, 255, 3, 40};
  const Tensor x = to_tensor(image, {});
  EXPECT_EQ(x.shape(), (Shape{1, 2, 1, 3}));
  const double mean[] = {0.48145466, 0.4578275, 0.40821073}, std[] = {0.26862954, 0.26130258, 0.27577711};
  for (int i = 0; i < 6; ++i) {
    EXPECT_NEAR(x.at(i), (image.pixels[static_cast<std::size_t>(i)] / 255.0 - mean[i % 3]) / std[i % 3], 1e-6);
  }
}

TEST(TransformJson, RoundTrip) {
  TransformConfig config = augmented(48);
  config.interpolation = Interpolation::bilinear;
  config.resize_mode = ResizeMode::squash;
  config.normalization = {{0.5, 0.4, 0.3}, {0.2, 0.25, 0.3}};
  const TransformConfig read = parse_transform_config(to_json(config));
  EXPECT_EQ(to_json(read), to_json(config));
  EXPECT_EQ(read.size, 48);
  EXPECT_EQ(read.resize_mode, ResizeMode::squash);
  EXPECT_EQ(read.normalization.std[1], 0.25);
  EXPECT_EQ(read.augment.affine.scale[1], 1.2);
  EXPECT_EQ(read.augment.color.hue, 0.1);
  EXPECT_EQ(read.augment.blur.probability, 0.5);
  EXPECT_EQ(read.augment.erase.fill, (Color{1, 2, 3}));
}

TEST(TransformJson, MissingKeysKeepTheirDefaults) {
  const TransformConfig config = parse_transform_config(R"({"size": 64, "augment": {"affine": {"fill": [1, 2, 3]}}})");
  EXPECT_EQ(config.size, 64);
  EXPECT_EQ(config.augment.affine.fill, (Color{1, 2, 3}));
  EXPECT_EQ(config.normalization.mean[0], 0.48145466);
  EXPECT_FALSE(config.augment.affine.active());
}

TEST(TransformJson, ErrorsNameTheKey) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"augment": {"affine": {"rotatoin": 3}}})",
       "unknown key augment.affine.rotatoin\nhint: did you mean augment.affine.rotation?"},
      {R"({"size": 0})", "size is 0"},
      {R"({"size": 1e3})", "size is 1000.0, expected a whole number"},
      {R"({"interpolation": "lanczos"})", "interpolation is \"lanczos\", expected one of bilinear, bicubic"},
      {R"({"mean": [1, 2]})", "mean is [1,2], expected a list of 3 numbers"},
      {R"({"augment": 3})", "augment is 3, expected an object"},
      {R"({"augment": {"color": {"hue": 0.7}}})", "augment.color.hue is 0.7, expected 0 to 0.5"},
      {R"({"augment": {"crop": {"scale": [0, 1]}}})", "augment.crop.scale is [0, 1]"},
      {R"({"augment": {"affine": {"fill": [0, 256, 0]}}})", "augment.affine.fill.1 is 256"},
      {R"({"augment": {"blur": {"probability": 2}}})", "augment.blur.probability is 2, expected 0 to 1"},
      {R"({"augment": {"erase": {"scale": [0.5, 0.2]}}})", "augment.erase.scale is [0.5, 0.2]"},
      {R"({"std": [0.2, 0, 0.2]})", "std is 0"},
      {"[1]", "the whole is [1], expected an object"},
      {"{", "not valid JSON at byte 1"}};
  for (const auto& [json, expected] : cases) {
    const std::string error = error_of([&] { parse_transform_config(json); });
    EXPECT_NE(error.find(expected), std::string::npos) << json << " gave: " << error;
  }
}

TEST(TransformJson, KeysOpenWithTheObjectsPlace) {
  const std::string error = error_of([] { parse_transform_config(R"({"sizes": 3})", {}, "data.transform"); });
  EXPECT_EQ(error, "[transform] unknown key data.transform.sizes\nhint: did you mean data.transform.size?");
}

// What Hugging Face publishes with openai/clip-vit-base-patch32.
constexpr const char* clip_preprocessor = R"({
  "crop_size": 224, "do_center_crop": true, "do_normalize": true, "do_resize": true,
  "feature_extractor_type": "CLIPFeatureExtractor",
  "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711],
  "resample": 3, "size": 224})";
// The same for google/siglip-base-patch16-224.
constexpr const char* siglip_preprocessor = R"({
  "do_normalize": true, "do_rescale": true, "do_resize": true, "image_mean": [0.5, 0.5, 0.5],
  "image_processor_type": "SiglipImageProcessor", "image_std": [0.5, 0.5, 0.5], "processor_class": "SiglipProcessor",
  "resample": 3, "rescale_factor": 0.00392156862745098, "size": {"height": 224, "width": 224}})";

TEST(PreprocessorJson, ReadsPublishedFiles) {
  const TransformConfig clip = parse_preprocessor_json(clip_preprocessor, "clip.json");
  EXPECT_EQ(to_json(clip), to_json(TransformConfig()));
  const TransformConfig siglip = parse_preprocessor_json(siglip_preprocessor, "siglip.json");
  EXPECT_EQ(siglip.resize_mode, ResizeMode::squash);
  EXPECT_EQ(siglip.size, 224);
  EXPECT_EQ(siglip.normalization.mean[2], 0.5);
}

TEST(PreprocessorJson, RoundTrip) {
  for (const ResizeMode mode : {ResizeMode::shortest, ResizeMode::squash}) {
    TransformConfig config;
    config.size = 48;
    config.resize_mode = mode;
    config.interpolation = Interpolation::bilinear;
    config.normalization.mean = {0.5, 0.6, 0.7};
    EXPECT_EQ(to_json(parse_preprocessor_json(to_preprocessor_json(config), "own")), to_json(config));
  }
}

TEST(PreprocessorJson, RefusesWhatItCannotExpress) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"size": {"shortest_edge": 256}, "crop_size": 224})",
       "a.json: crop_size is 224 and size is 256, expected the same"},
      {R"({"size": 224, "resample": 1})", "a.json: resample is 1"},
      {R"({"size": 224, "do_resize": false})", "a.json: do_resize is false, expected true"},
      {R"({"size": {"shortest_edge": 224}, "do_center_crop": false})", "a.json: do_center_crop is false"},
      {R"({"size": {"height": 3, "width": 4}})", "a.json: size is"},
      {R"({"size": "big"})", "a.json: size is \"big\", expected a number of pixels"},
      {R"({"size": 224, "rescale_factor": 1})", "a.json: rescale_factor is 1"},
      {R"({"size": 224, "image_mean": [1]})", "a.json: image_mean is [1]"},
      {"{}", "a.json: size is missing"},
      {"nonsense", "a.json: not valid JSON at byte 1"}};
  for (const auto& [json, expected] : cases) {
    const std::string error = error_of([&] { parse_preprocessor_json(json, "a.json"); });
    EXPECT_NE(error.find(expected), std::string::npos) << json << " gave: " << error;
  }
}

}  // namespace
}  // namespace fovea::image
