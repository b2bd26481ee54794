#include "fovea/image/resize.h"

#include <gtest/gtest.h>

#include "golden_lines.h"

namespace fovea::image {
namespace {

Interpolation interpolation_of(const std::string& name) {
  return name == "bicubic" ? Interpolation::bicubic : Interpolation::bilinear;
}

TEST(Resize, EqualsPillow) {
  const auto lines = golden_lines("resize");
  EXPECT_EQ(lines.size(), 20u);
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
    const Image out =
        resize_and_center_crop(golden_image(line.file), line.expected.width, interpolation_of(line.arguments[0]));
    EXPECT_EQ(max_difference(out, line.expected), 0)
        << line.file << " " << line.arguments[0] << " " << line.expected.width;
  }
}

TEST(Resize, KeepsTheSameSizeAsItIs) {
  const Image image = golden_image("rgb.png");
  EXPECT_EQ(resize(image, image.width, image.height, Interpolation::bicubic), image);
}

TEST(Resize, RefusesImpossibleSizes) {
  const Image image(3, 2), thread(1 << 20, 1);
  EXPECT_THROW(resize(image, 0, 2, Interpolation::bilinear), Error);
  EXPECT_THROW(resize(Image(), 2, 2, Interpolation::bilinear), Error);
  EXPECT_THROW(resize_and_center_crop(Image(), 2, Interpolation::bilinear), Error);
  EXPECT_THROW(resize_and_center_crop(image, -1, Interpolation::bilinear), Error);
  EXPECT_THROW(resize_and_center_crop(thread, 1 << 14, Interpolation::bilinear), Error);
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
