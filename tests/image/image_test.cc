#include "fovea/image/image.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace fovea::image {
namespace {

TEST(Image, IsBlackWhateverItsMemoryHeld) {
  for (int i = 0; i < 3; ++i) {
    Image image(301, 299);
    EXPECT_TRUE(std::all_of(image.pixels.begin(), image.pixels.end(), [](int x) { return x == 0; }));
    std::fill(image.pixels.begin(), image.pixels.end(), std::uint8_t{7});
  }
}

TEST(Image, MemoryIsUsedAgainBySizesThatAreClose) {
  const std::uint8_t* first = Image(401, 300).pixels.data();
  EXPECT_EQ(Image(410, 300).pixels.data(), first);
  const Image a(401, 300), b(401, 300);
  EXPECT_NE(a.pixels.data(), b.pixels.data());
}

}  // namespace
}  // namespace fovea::image
