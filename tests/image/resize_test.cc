#include "fovea/image/resize.h"

#include <gtest/gtest.h>

#include <map>

#include "golden_lines.h"

namespace fovea::image {
namespace {

Interpolation interpolation_of(const std::string& name) {
  const std::map<std::string, Interpolation> kinds{
      {"nearest", Interpolation::nearest}, {"lanczos", Interpolation::lanczos}, {"bilinear", Interpolation::bilinear},
      {"bicubic", Interpolation::bicubic}, {"box", Interpolation::box},         {"hamming", Interpolation::hamming}};
  return kinds.at(name);
}

TEST(Resize, EqualsPillow) {
  auto lines = golden_lines("resize");
  EXPECT_EQ(lines.size(), 20u);
  const auto others = golden_lines("resize_other");
  EXPECT_EQ(others.size(), 36u);
  lines.insert(lines.end(), others.begin(), others.end());
  for (const GoldenLine& line : lines) {
    const Image out =
        resize(golden_image(line.file), line.expected.width, line.expected.height, interpolation_of(line.arguments[0]));
    EXPECT_EQ(max_difference(out, line.expected), 0)
        << line.file << " " << line.arguments[0] << " " << line.expected.width << "x" << line.expected.height;
  }
}

TEST(Resize, CenterCropEqualsTorchvision) {
  const auto lines = golden_lines("center");
  EXPECT_EQ(lines.size(), 12u);
  for (const GoldenLine& line : lines) {
    const int size = line.expected.width;
    const Image out =
        center_crop(resize_shortest(golden_image(line.file), size, interpolation_of(line.arguments[0])), size);
    EXPECT_EQ(max_difference(out, line.expected), 0)
        << line.file << " " << line.arguments[0] << " " << line.expected.width;
  }
}

TEST(Resize, PadsAllAround) {
  const Image image = golden_image("rgb.png");  // 13 x 9
  const Image padded = pad(image, 16, 10, {1, 2, 3});
  EXPECT_EQ(crop(padded, 1, 0, 13, 9), image);  // the odd pixel to the right and below
  for (const int x : {0, 14, 15}) EXPECT_EQ(padded.row(4)[3 * x + 1], 2);
  for (int x = 0; x < 16; ++x) EXPECT_EQ(padded.row(9)[3 * x + 2], 3);
}

TEST(Resize, OddRemaindersFollowTheOffset) {
  const Image image = golden_image("rgb.png");
  EXPECT_EQ(center_crop(image, 6, CropOffset::even), crop(image, 4, 2, 6, 6));  // 3.5 and 1.5
  EXPECT_EQ(center_crop(image, 6, CropOffset::down), crop(image, 3, 1, 6, 6));
}

TEST(Resize, KeepsTheSameSizeAsItIs) {
  const Image image = golden_image("rgb.png");
  EXPECT_EQ(resize(image, image.width, image.height, Interpolation::bicubic), image);
}

TEST(Resize, RefusesImpossibleSizes) {
  const Image image(3, 2), thread(1 << 20, 1);
  EXPECT_THROW(resize(image, 0, 2, Interpolation::bilinear), Error);
  EXPECT_THROW(resize(Image(), 2, 2, Interpolation::bilinear), Error);
  EXPECT_THROW(resize_shortest(Image(), 2, Interpolation::bilinear), Error);
  EXPECT_THROW(resize_shortest(image, -1, Interpolation::bilinear), Error);
  EXPECT_THROW(resize_shortest(thread, 1 << 14, Interpolation::bilinear), Error);
  EXPECT_THROW(resize_longest(Image(), 2, Interpolation::bilinear), Error);
  EXPECT_THROW(resize_longest(image, 0, Interpolation::bilinear), Error);
  EXPECT_THROW(pad(image, 2, 5, {}), Error);
  EXPECT_THROW(pad(thread, 1 << 20, 1 << 20, {}), Error);
  EXPECT_THROW(center_crop(image, 3), Error);
  EXPECT_THROW(crop(image, 1, 1, 3, 1), Error);
  EXPECT_THROW(crop(image, -1, 0, 1, 1), Error);
}

TEST(Resize, CropsTheNamedRectangle) {
  const Image image = golden_image("rgb.png");
  const Image part = crop(image, 2, 3, 4, 5);
  for (int y = 0; y < 5; ++y) {
    for (int i = 0; i < 12; ++i) EXPECT_EQ(part.row(y)[i], image.row(y + 3)[i + 6]);
  }
}

}  // namespace
}  // namespace fovea::image
