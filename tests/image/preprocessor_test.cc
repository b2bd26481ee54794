#include "fovea/image/preprocessor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "fovea/io/safetensors.h"
#include "golden_lines.h"

namespace fovea::image {
namespace {

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
  TransformConfig expected;
  expected.crop_offset = CropOffset::down;
  expected.alpha = Alpha::white;
  EXPECT_EQ(to_json(clip), to_json(expected));
  const TransformConfig siglip = parse_preprocessor_json(siglip_preprocessor, "siglip.json");
  EXPECT_EQ(siglip.resize_mode, ResizeMode::squash);
  EXPECT_EQ(siglip.size, 224);
  EXPECT_EQ(siglip.normalization.mean[2], 0.5);
}

TEST(PreprocessorJson, RoundTrip) {
  for (const ResizeMode mode : {ResizeMode::shortest, ResizeMode::squash, ResizeMode::longest, ResizeMode::pad}) {
    for (const int resize_to : {0, 50}) {
      for (const CropOffset offset : {CropOffset::even, CropOffset::down}) {
        TransformConfig config;
        config.size = 48;
        config.resize_mode = mode;
        config.resize_to = resize_to;
        config.crop_offset = offset;
        config.alpha = offset == CropOffset::down ? Alpha::white : Alpha::drop;
        config.interpolation = Interpolation::hamming;
        config.normalization.mean = {0.5, 0.6, 0.7};
        config.fill = {127, 153, 178};
        const std::string json = to_preprocessor_json(config);
        EXPECT_EQ(to_json(parse_preprocessor_json(json, "own")), to_json(config)) << json;
        config.augment.affine.flip = 0.5;  // is not evaluation's
        EXPECT_EQ(to_preprocessor_json(config), json);
      }
    }
  }
  TransformConfig odd;
  odd.resize_mode = ResizeMode::pad;
  odd.normalization.mean = {-1, 0, 2};
  EXPECT_EQ(to_json(parse_preprocessor_json(to_preprocessor_json(odd), "own")), to_json(odd));
}

// Who reads only Hugging Face's keys gets as close as they go.
TEST(PreprocessorJson, WritesWhatHuggingFaceReads) {
  TransformConfig config;
  config.crop_offset = CropOffset::down;
  config.alpha = Alpha::white;
  EXPECT_EQ(to_preprocessor_json(config).find("fovea"), std::string::npos);
  config.resize_mode = ResizeMode::pad;
  config.fill = {122, 116, 104};  // CLIP's mean
  const std::string json = to_preprocessor_json(config);
  EXPECT_EQ(json.find("fovea"), std::string::npos) << json;
  EXPECT_NE(json.find("LlavaImageProcessor"), std::string::npos) << json;
  config.fill = {0, 0, 0};
  EXPECT_NE(to_preprocessor_json(config).find("fovea"), std::string::npos);
}

TEST(PreprocessorJson, ReadsNestedFiles) {
  const std::string clip = clip_preprocessor;
  const std::string nested = R"({"processor_class": "CLIPProcessor", "image_processor": )" + clip + "}";
  EXPECT_EQ(to_json(parse_preprocessor_json(nested, "a")), to_json(parse_preprocessor_json(clip, "a")));
  const TransformConfig open_clip = parse_preprocessor_json(
      R"({"model_cfg": {"embed_dim": 4, "vision_cfg": {"image_size": 96}},
          "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}})",
      "open_clip_config.json");
  EXPECT_EQ(open_clip.size, 96);
  EXPECT_EQ(open_clip.normalization.std[2], 0.5);
  EXPECT_EQ(open_clip.crop_offset, CropOffset::even);
}

TEST(PreprocessorJson, WritesPreprocessCfg) {
  TransformConfig config;
  config.size = 48;
  config.interpolation = Interpolation::bilinear;
  config.resize_mode = ResizeMode::longest;
  config.fill = {9, 9, 9};
  config.normalization.mean = {0.1, 0.2, 0.3};
  const std::string written = R"({"preprocess_cfg": )" + to_preprocess_cfg(config) + "}";
  EXPECT_EQ(to_json(parse_preprocessor_json(written, "own")), to_json(config)) << written;
  config.fill = {9, 9, 8};
  EXPECT_EQ(error_of([&] { to_preprocess_cfg(config); }),
            "[transform] fill is [9,9,8], open_clip has only one number for all channels");
  config.resize_mode = ResizeMode::pad;
  EXPECT_NE(error_of([&] { to_preprocess_cfg(config); }).find("resize_mode is \"pad\""), std::string::npos);
  config.interpolation = Interpolation::box;
  EXPECT_NE(error_of([&] { to_preprocess_cfg(config); }).find("interpolation is \"box\""), std::string::npos);
}

// What transformers and open_clip make of the same files.
TEST(PreprocessorJson, PixelsEqualThePublishedProcessors) {
  const std::string file = golden_folder + "image_processors.safetensors";
  const io::Metadata configurations = io::load_safetensors_metadata(file);
  int compared = 0;
  for (const auto& [name, expected] : io::load_safetensors(file)) {
    const std::size_t slash = name.find('/');
    const std::string configuration = name.substr(0, slash);
    const TransformConfig config = parse_preprocessor_json(configurations.at(configuration), configuration);
    const std::string picture = golden_folder + "images/" + name.substr(slash + 1);
    const Image out = eval_transform(read_image(picture, {.alpha = config.alpha}), config);
    const Tensor pixels = to_tensor(out, config.normalization);  // (1, H, W, 3)
    ASSERT_EQ(expected.shape(), (Shape{3, config.size, config.size})) << name;
    const std::int64_t plane = std::int64_t{config.size} * config.size;
    double largest = 0;
    for (std::int64_t c = 0; c < 3; ++c) {
      const double one_level = 1 / (255 * config.normalization.std[static_cast<std::size_t>(c)]);
      for (std::int64_t i = 0; i < plane; ++i) {
        largest = std::max(largest, std::fabs(pixels.at(3 * i + c) - expected.at(c * plane + i)) / one_level);
      }
    }
    EXPECT_LE(largest, 1e-3) << name;  // in levels of 8 bits: the pixels are equal
    ++compared;
  }
  EXPECT_EQ(compared, 112);
}

TEST(PreprocessorJson, RefusesWhatItCannotExpress) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"size": {"shortest_edge": 224}, "crop_size": 256})",
       "a.json: crop_size is 256, expected at most the size, 224"},
      {R"({"size": 224, "resample": 6})", "a.json: resample is 6, expected 0 (nearest)"},
      {R"({"size": 224, "do_resize": false})", "a.json: do_resize is false, expected true"},
      {R"({"size": 224, "do_resize": "yes"})", "a.json: do_resize is \"yes\", expected true or false"},
      {R"({"size": {"shortest_edge": 224}, "do_center_crop": false})", "a.json: do_center_crop is false"},
      {R"({"size": {"shortest_edge": 224, "longest_edge": 400}})", "a.json: size is"},
      {R"({"size": {"height": 3, "width": 4}})", "a.json: size is"},
      {R"({"size": "big"})", "a.json: size is \"big\", expected a number of pixels"},
      {R"({"size": 224, "rescale_factor": 0})", "a.json: rescale_factor is 0, expected a number above 0"},
      {R"({"size": 224, "image_mean": [1]})", "a.json: image_mean is [1]"},
      {R"({"size": 224, "image_std": 0})", "std is 0, expected 1e-06 to 1e+06\nin a.json"},
      {R"({"size": 224, "do_pad": true})", "a.json: do_pad is true, expected false"},
      {R"({"image_processor_type": "DonutImageProcessor"})",
       "a.json: image_processor_type is \"DonutImageProcessor\", "
       "expected one of CLIPImageProcessor, "},
      {R"({"image_processor": {"size": "big"}})", "a.json: image_processor: size is \"big\""},
      {R"({"preprocess_cfg": {"resize_mode": "widest"}})", "a.json: preprocess_cfg: resize_mode is \"widest\""},
      {R"({"preprocess_cfg": {"mode": "L"}})", "a.json: preprocess_cfg: mode is \"L\", expected \"RGB\""},
      {R"({"preprocess_cfg": {"fill_color": 256}})", "a.json: preprocess_cfg: fill_color is 256"},
      {R"({"preprocess_cfg": 3})", "a.json: preprocess_cfg is not a JSON object"},
      {R"({"fovea": {"sizes": 3}})", "unknown key a.json: fovea.sizes"},
      {"[1]", "a.json is not a JSON object"},
      {"{}", "a.json: size is missing"},
      {"nonsense", "a.json: not valid JSON at byte 1"}};
  for (const auto& [json, expected] : cases) {
    const std::string error = error_of([&] { parse_preprocessor_json(json, "a.json"); });
    EXPECT_NE(error.find(expected), std::string::npos) << json << " gave: " << error;
  }
}

}  // namespace
}  // namespace fovea::image
