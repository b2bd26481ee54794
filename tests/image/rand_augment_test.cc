#include "fovea/image/rand_augment.h"

#include <gtest/gtest.h>

#include <map>

#include "golden_lines.h"

namespace fovea::image {
namespace {

const std::map<std::string, RandOperation> operations{
    {"identity", RandOperation::identity},       {"auto_contrast", RandOperation::auto_contrast},
    {"brightness", RandOperation::brightness},   {"sharpness", RandOperation::sharpness},
    {"equalize", RandOperation::equalize},       {"shear_x", RandOperation::shear_x},
    {"shear_y", RandOperation::shear_y},         {"translate_x", RandOperation::translate_x},
    {"translate_y", RandOperation::translate_y}, {"rotate", RandOperation::rotate}};

TEST(RandAugment, OperationsEqualPillowsAndTheirDefinitions) {
  const auto lines = golden_lines("rand");
  EXPECT_EQ(lines.size(), 80u);
  for (const GoldenLine& line : lines) {
    Image image = golden_image(line.file);
    const std::string& name = line.arguments[0];
    apply(operations.at(name), std::stod(line.arguments[1]), std::stod(line.arguments[2]), image);
    EXPECT_LE(max_difference(image, line.expected), 1) << line.file << " " << name << " " << line.arguments[1];
  }
}

TEST(RandAugment, TinyPicturesAreNoTrouble) {
  for (const char* name : {"one_pixel.png", "one_wide.png"}) {
    for (const auto& [text, operation] : operations) {
      Image image = golden_image(name);
      const int height = image.height;
      apply(operation, 1, 1, image);
      EXPECT_EQ(image.height, height) << text;
    }
  }
}

TEST(RandAugment, FollowsItsKeyAndItsNumberOfOperations) {
  const Image image = golden_image("larger.png");
  Rng rng(4);
  int changed = 0;
  for (int i = 0; i < 2000; ++i) {
    Image copy = image;
    rand_augment(copy, {1, 5}, rng);
    changed += copy != image;
  }
  // At magnitude 5 brightness and sharpness keep a picture as it is, as identity does: 7 of 10 operations change it.
  EXPECT_NEAR(changed, 700, 70);
  Image first = image, again = image;
  Rng a(7), b(7);
  rand_augment(first, {2, 9}, a), rand_augment(again, {2, 9}, b);
  EXPECT_EQ(first, again);
  EXPECT_FALSE(RandAugment().active());
}

}  // namespace
}  // namespace fovea::image
