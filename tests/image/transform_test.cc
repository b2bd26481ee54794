#include "fovea/image/transform.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <utility>

#include "fovea/tensor/reduce.h"
#include "golden_lines.h"

namespace fovea::image {
namespace {

TransformConfig augmented(int size) {
  TransformConfig config;
  config.size = size;
  config.augment.crop.scale = {0.5, 1};
  config.augment.affine = {15, {0.9, 1.2}, 0.1, 0.1, 0.5, {255, 255, 255}};
  config.augment.color = {0.2, 0.2, 0.2, 0.1, 0.1, 0.2};
  config.augment.rand_augment.operations = 2;
  config.augment.blur.probability = 0.5;
  config.augment.erase = {0.5, {0.1, 0.2}, {0.5, 2}, {1, 2, 3}};
  return config;
}

TEST(Transform, EvaluationFollowsTheResizeMode) {
  const Image image = golden_image("rgb.png");
  TransformConfig config;
  config.size = 8;
  EXPECT_EQ(eval_transform(image, config), center_crop(resize_shortest(image, 8, Interpolation::bicubic), 8));
  config.resize_mode = ResizeMode::squash;
  config.interpolation = Interpolation::bilinear;
  EXPECT_EQ(eval_transform(image, config), resize(image, 8, 8, Interpolation::bilinear));
}

TEST(Transform, CutsTheResultOutOfALargerPicture) {
  const Image image = golden_image("rgb.png");
  TransformConfig config;
  config.size = 5;
  config.resize_to = 8;
  for (const CropOffset offset : {CropOffset::even, CropOffset::down}) {
    config.crop_offset = offset;
    config.resize_mode = ResizeMode::squash;
    EXPECT_EQ(eval_transform(image, config), center_crop(resize(image, 8, 8, Interpolation::bicubic), 5, offset));
    config.resize_mode = ResizeMode::shortest;
    EXPECT_EQ(eval_transform(image, config), center_crop(resize_shortest(image, 8, Interpolation::bicubic), 5, offset));
  }
}

// ALIGN's training: a random square of the larger picture, every position as often as any other.
TEST(Transform, CutsOutAtRandomWhileTraining) {
  TransformConfig config;
  config.size = 5;
  config.resize_to = 7;
  config.resize_mode = ResizeMode::squash;
  config.augment.crop.random_position = true;
  const Image image = golden_image("rgb.png"), larger = resize(image, 7, 7, Interpolation::bicubic);
  Rng rng(3);
  std::map<std::pair<int, int>, int> counts;
  for (int i = 0; i < 900; ++i) {
    const Image out = train_transform(image, config, rng);
    for (int top = 0; top < 3; ++top) {
      for (int left = 0; left < 3; ++left) counts[{top, left}] += out == crop(larger, left, top, 5, 5);
    }
  }
  for (const auto& [place, count] : counts) EXPECT_NEAR(count, 100, 40) << place.first << " " << place.second;
}

TEST(Transform, LongestAndPadKeepTheWholePicture) {
  const Image image = golden_image("rgb.png");  // 13 x 9
  TransformConfig config;
  config.size = 8;
  config.fill = {1, 2, 3};
  config.resize_mode = ResizeMode::longest;
  EXPECT_EQ(eval_transform(image, config), pad(resize(image, 8, 6, Interpolation::bicubic), 8, 8, config.fill));
  config.resize_mode = ResizeMode::pad;
  EXPECT_EQ(eval_transform(image, config), resize(pad(image, 13, 13, config.fill), 8, 8, Interpolation::bicubic));
  // A side of less than half a pixel stays a pixel.
  config.resize_mode = ResizeMode::longest;
  EXPECT_EQ(eval_transform(Image(100, 1), config).height, 8);
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

TEST(Transform, ReducesOnlyWhatStaysLargeEnough) {
  TransformConfig config;
  config.size = 100;
  const auto reduction = [&](Size size) { return train_reduction(size, config, Rng(1)); };
  EXPECT_EQ(reduction({1000, 1000}), 1);  // off by default
  config.augment.scaled_decode = true;
  EXPECT_EQ(reduction({1000, 1000}), 8);
  EXPECT_EQ(reduction({3000, 799}), 4);
  EXPECT_EQ(reduction({3000, 200}), 2);
  EXPECT_EQ(reduction({3000, 199}), 1);
  config.resize_to = 120;
  EXPECT_EQ(reduction({959, 960}), 4);
  config.resize_mode = ResizeMode::longest;
  EXPECT_EQ(reduction({10, 960}), 8);
  config.augment.crop.scale = {0.25, 0.25};
  config.augment.crop.ratio = {1, 1};
  EXPECT_EQ(reduction({1600, 1600}), 8);
  EXPECT_EQ(reduction({1598, 1600}), 4);
}

TEST(Transform, TakesTheSamePartOfAReducedPicture) {
  // A ramp: what is seen at a place tells the place.
  const auto ramp = [](int side) {
    Image image(side, side);
    for (int y = 0; y < side; ++y) {
      for (int x = 0; x < side; ++x) {
        image.row(y)[3 * x] = static_cast<std::uint8_t>(x * 256 / side);
        image.row(y)[3 * x + 1] = static_cast<std::uint8_t>(y * 256 / side);
      }
    }
    return image;
  };
  TransformConfig config;
  config.size = 16;
  config.augment.crop.scale = {0.1, 0.5};
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    Rng a(seed), b(seed);
    const Image whole = train_transform(ramp(512), config, a);
    const Image reduced = train_transform(ramp(64), {512, 512}, config, b);
    for (std::size_t i = 0; i < whole.pixels.size(); ++i)
      ASSERT_NEAR(whole.pixels[i], reduced.pixels[i], 4) << seed << " " << i;  // a pixel of the small one is 4
  }
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

TEST(Transform, StacksPicturesOfOneSize) {
  std::vector<Image> pictures(3, Image(5, 4));
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t p = 0; p < 60; ++p) pictures[i].pixels[p] = static_cast<std::uint8_t>(100 * i + p);
  }
  const Tensor all = stack(pictures, {5, 4});
  EXPECT_EQ(all.shape(), (Shape{3, 4, 5, 3}));
  ASSERT_EQ(all.dtype(), DType::u8);
  for (std::size_t i = 0; i < 3; ++i) {
    const auto row = static_cast<std::int64_t>(i);
    EXPECT_EQ(std::memcmp(all.rows(row, row + 1).raw(), pictures[i].pixels.data(), 60), 0);
    const Tensor numbers = normalized(all, {}).rows(row, row + 1);
    EXPECT_EQ(count_different_bits(numbers, to_tensor(pictures[i], {})), 0);
  }
  EXPECT_EQ(stack({}, {5, 4}).numel(), 0);
  EXPECT_THROW(stack(pictures, {4, 5}), Error);
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
      {R"({"interpolation": "cubic"})",
       "interpolation is \"cubic\", expected one of bilinear, bicubic, nearest, lanczos"},
      {R"({"size": 8, "resize_to": 7})", "resize_to is 7, expected 0, or from size (8) to 16384"},
      {R"({"augment": {"crop": {"scale": [0.5, 1], "random_position": true}}})", "random_position is of no use"},
      {R"({"augment": {"rand_augment": {"magnitude": 11}}})", "augment.rand_augment.magnitude is 11, expected 0 to 10"},
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

}  // namespace
}  // namespace fovea::image
