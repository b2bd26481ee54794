#include "fovea/image/augment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "golden_lines.h"

namespace fovea::image {
namespace {

constexpr Color white{255, 255, 255};

Image noise(int width, int height) {
  Image image(width, height);
  Rng rng(11);
  for (std::uint8_t& x : image.pixels) x = static_cast<std::uint8_t>(rng.below(256));
  return image;
}

// Bilinear sampling as its definition says, in double.
Image plain_warp(const Image& image, const AffineMap& map, Color fill) {
  const auto at = [&](int x, int y, std::size_t c) -> double {
    const bool inside = x >= 0 && x < image.width && y >= 0 && y < image.height;
    return inside ? image.row(y)[3 * static_cast<std::size_t>(x) + c] : fill[c];
  };
  Image out(image.width, image.height);
  const double cx = (image.width - 1) / 2.0, cy = (image.height - 1) / 2.0;
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      const double sx = map.xx * (x - cx) + map.xy * (y - cy) + map.x0 + cx;
      const double sy = map.yx * (x - cx) + map.yy * (y - cy) + map.y0 + cy;
      const int left = static_cast<int>(std::floor(sx)), top = static_cast<int>(std::floor(sy));
      const double u = sx - left, v = sy - top;
      for (std::size_t c = 0; c < 3; ++c) {
        const double value = (1 - v) * ((1 - u) * at(left, top, c) + u * at(left + 1, top, c)) +
                             v * ((1 - u) * at(left, top + 1, c) + u * at(left + 1, top + 1, c));
        out.row(y)[3 * static_cast<std::size_t>(x) + c] = static_cast<std::uint8_t>(value + 0.5);
      }
    }
  }
  return out;
}

TEST(Warp, IdentityAndMirror) {
  const Image image = noise(7, 5);
  EXPECT_EQ(warp(image, {}, white), image);
  AffineMap mirror;
  mirror.xx = -1;
  const Image mirrored = warp(image, mirror, white);
  for (int y = 0; y < 5; ++y) {
    for (int x = 0; x < 7; ++x) {
      for (int c = 0; c < 3; ++c) EXPECT_EQ(mirrored.row(y)[3 * x + c], image.row(y)[3 * (6 - x) + c]);
    }
  }
  EXPECT_EQ(warp(mirrored, mirror, white), image);
}

TEST(Warp, RotationShowsTheTopAtTheRight) {
  // By 90 degrees clockwise, as a positive angle turns when y points down.
  const Image image = noise(6, 6);
  AffineMap quarter;
  quarter.xx = 0, quarter.xy = 1, quarter.yx = -1, quarter.yy = 0;
  const Image turned = warp(image, quarter, white);
  for (int y = 0; y < 6; ++y) {
    for (int x = 0; x < 6; ++x) EXPECT_EQ(turned.row(y)[3 * x], image.row(5 - x)[3 * y]);
  }
}

TEST(Warp, EqualsTheDefinitionForRandomMaps) {
  const AffineAugment augment{40, {0.6, 1.5}, 0.3, 0.2, 0.5, {10, 200, 90}};
  Rng rng(5);
  for (const auto& [width, height] : {std::pair(17, 9), std::pair(1, 8), std::pair(32, 32)}) {
    const Image image = noise(width, height);
    for (int i = 0; i < 20; ++i) {
      const AffineMap map = random_affine_map(width, height, augment, rng);
      EXPECT_LE(max_difference(warp(image, map, augment.fill), plain_warp(image, map, augment.fill)), 1);
    }
  }
}

TEST(Warp, ShowsTheFillOutside) {
  AffineMap away;
  away.x0 = 1e9;
  const Image out = warp(noise(4, 4), away, {1, 2, 3});
  for (std::size_t i = 0; i < out.pixels.size(); ++i) EXPECT_EQ(out.pixels[i], 1 + i % 3);
}

TEST(RandomAffineMap, StaysWithinItsRanges) {
  const AffineAugment augment{30, {0.5, 2}, 0.25, 0.1, 0.25, white};
  Rng rng(9);
  int mirrored = 0;
  double smallest = 10, largest = 0, widest = 0;
  for (int i = 0; i < 4000; ++i) {
    const AffineMap map = random_affine_map(40, 20, augment, rng);
    const double determinant = map.xx * map.yy - map.xy * map.yx;
    mirrored += determinant < 0;
    const double scale = 1 / std::sqrt(std::fabs(determinant));
    smallest = std::min(smallest, scale), largest = std::max(largest, scale);
    const double width = 1 / std::hypot(map.xx, map.xy), height = 1 / std::hypot(map.yx, map.yy);
    widest = std::max(widest, std::sqrt(width / height));
    EXPECT_LE(std::fabs(std::atan2(-map.yx, map.yy)), 30 * 3.1416 / 180);
    // The centre of the source appears where map gives (0, 0).
    const double x = (-map.x0 * map.yy + map.y0 * map.xy) / determinant,
                 y = (-map.y0 * map.xx + map.x0 * map.yx) / determinant;
    EXPECT_LE(std::fabs(x), 4.0001);
    EXPECT_LE(std::fabs(y), 2.0001);
  }
  EXPECT_NEAR(mirrored, 1000, 120);
  EXPECT_NEAR(smallest, 0.5, 0.01);
  EXPECT_NEAR(largest, 2, 0.04);
  EXPECT_NEAR(widest, 1.25, 0.01);
}

TEST(RandomResizedCrop, WholePictureIsAResize) {
  const Image image = noise(20, 20);
  Rng rng(1);
  const CropAugment whole{{1, 1}, {1, 1}};
  EXPECT_EQ(random_resized_crop(image, 8, whole, Interpolation::bicubic, rng),
            resize(image, 8, 8, Interpolation::bicubic));
}

TEST(RandomResizedCrop, KeepsTheAskedShareOfTheArea) {
  // Each pixel tells its own position, so the corners of the result tell the rectangle.
  Image image(200, 100);
  for (int y = 0; y < 100; ++y) {
    for (int x = 0; x < 200; ++x)
      image.row(y)[3 * x] = static_cast<std::uint8_t>(x), image.row(y)[3 * x + 1] = static_cast<std::uint8_t>(y);
  }
  Rng rng(2);
  double least = 1, most = 0;
  for (int i = 0; i < 500; ++i) {
    const Image out = random_resized_crop(image, 100, {{0.2, 0.4}, {0.75, 1.3333}}, Interpolation::bilinear, rng);
    const std::uint8_t *first = out.row(0), *last = out.row(99) + 3 * 99;
    const double share = (last[0] - first[0] + 1.0) * (last[1] - first[1] + 1.0) / (200 * 100);
    least = std::min(least, share), most = std::max(most, share);
  }
  EXPECT_NEAR(least, 0.2, 0.02);
  EXPECT_NEAR(most, 0.4, 0.02);
}

TEST(RandomResizedCrop, LongPicturesGiveTheirMiddle) {
  Rng rng(2);
  const Image image = noise(100, 2);
  const Image middle = crop(image, 48, 0, 3, 2);
  EXPECT_EQ(random_resized_crop(image, 4, {{0.9, 0.95}, {0.75, 1.5}}, Interpolation::bilinear, rng),
            resize(middle, 4, 4, Interpolation::bilinear));
}

// A two-dimensional convolution in double, over everything that matters.
Image plain_blur(const Image& image, double sigma) {
  const int radius = static_cast<int>(std::ceil(4 * sigma));
  const auto at = [](int i, int n) {
    while (n > 1 && (i < 0 || i >= n)) i = i < 0 ? -i : 2 * (n - 1) - i;
    return n > 1 ? i : 0;
  };
  Image out(image.width, image.height);
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      for (int c = 0; c < 3; ++c) {
        double sum = 0, total = 0;
        for (int dy = -radius; dy <= radius; ++dy) {
          for (int dx = -radius; dx <= radius; ++dx) {
            const double weight = std::exp(-(dx * dx + dy * dy) / (2 * sigma * sigma));
            total += weight;
            sum += weight * image.row(at(y + dy, image.height))[3 * at(x + dx, image.width) + c];
          }
        }
        out.row(y)[3 * x + c] = static_cast<std::uint8_t>(sum / total + 0.5);
      }
    }
  }
  return out;
}

TEST(Blur, EqualsTheDefinition) {
  for (const auto& [width, height] : {std::pair(17, 9), std::pair(1, 8), std::pair(8, 1), std::pair(1, 1)}) {
    for (const double sigma : {0.3, 1.0, 2.5}) {
      Image image = noise(width, height);
      const Image expected = plain_blur(image, sigma);
      gaussian_blur(image, sigma);
      EXPECT_LE(max_difference(image, expected), 1) << width << "x" << height << " " << sigma;
    }
  }
}

TEST(Blur, HappensWithItsProbability) {
  const Image image = noise(6, 6);
  Rng rng(4);
  int blurred = 0;
  for (int i = 0; i < 1000; ++i) {
    Image copy = image;
    random_blur(copy, {0.3, {1, 2}}, rng);
    blurred += copy != image;
  }
  EXPECT_NEAR(blurred, 300, 50);
}

TEST(Erase, PaintsOneRectangleOfTheAskedShape) {
  const EraseAugment augment{0.5, {0.1, 0.3}, {0.5, 2}, {1, 2, 3}};
  Rng rng(6);
  int erased = 0;
  double least = 1, most = 0, flattest = 10, tallest = 0;
  for (int i = 0; i < 2000; ++i) {
    Image image(60, 40);
    std::fill(image.pixels.begin(), image.pixels.end(), std::uint8_t{200});
    random_erase(image, augment, rng);
    int left = 60, right = -1, top = 40, bottom = -1, count = 0;
    for (int y = 0; y < 40; ++y) {
      for (int x = 0; x < 60; ++x) {
        if (image.row(y)[3 * x] == 200) continue;
        EXPECT_EQ(image.row(y)[3 * x + 2], 3);
        left = std::min(left, x), right = std::max(right, x), top = std::min(top, y), bottom = std::max(bottom, y);
        ++count;
      }
    }
    if (count == 0) continue;
    ++erased;
    const int width = right - left + 1, height = bottom - top + 1;
    ASSERT_EQ(count, width * height);
    least = std::min(least, count / 2400.0), most = std::max(most, count / 2400.0);
    flattest = std::min(flattest, 1.0 * height / width), tallest = std::max(tallest, 1.0 * height / width);
  }
  EXPECT_NEAR(erased, 1000, 80);
  EXPECT_NEAR(least, 0.1, 0.01);
  EXPECT_NEAR(most, 0.3, 0.01);
  EXPECT_NEAR(flattest, 0.5, 0.05);
  EXPECT_NEAR(tallest, 2, 0.15);
}

TEST(Color, EqualsTorchvisionsFormulas) {
  using Adjust = void (*)(Image&, double);
  const std::pair<const char*, Adjust> operations[] = {{"brightness", adjust_brightness},
                                                       {"contrast", adjust_contrast},
                                                       {"saturation", adjust_saturation},
                                                       {"hue", adjust_hue}};
  for (const auto& [name, adjust] : operations) {
    const auto lines = golden_lines(name);
    EXPECT_EQ(lines.size(), 3u);
    for (const GoldenLine& line : lines) {
      Image image = golden_image(line.file);
      adjust(image, std::stod(line.arguments[0]));
      EXPECT_LE(max_difference(image, line.expected), 1) << name << " " << line.arguments[0];
    }
  }
}

TEST(Color, NeutralFactorsChangeNothing) {
  const Image image = noise(19, 16);
  Image copy = image;
  adjust_brightness(copy, 1);
  adjust_contrast(copy, 1);
  adjust_saturation(copy, 1);
  adjust_hue(copy, 1);
  apply_color_matrix(copy, {{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}});
  EXPECT_EQ(copy, image);
}

TEST(Color, MatrixMixesChannels) {
  Image image(1, 1);
  image.pixels = {100, 40, 200};
  apply_color_matrix(image, {{{0.5, 0.25, 0}, {0, 0, 2}, {0, -1, 0.1}}});
  EXPECT_EQ(image.pixels, (Pixels{60, 255, 0}));
}

TEST(Color, JitterFollowsItsKeyAndItsAmounts) {
  const Image image = noise(16, 16);
  const auto jittered = [&](const ColorAugment& augment, std::uint64_t seed) {
    Image copy = image;
    Rng rng(seed);
    jitter_color(copy, augment, rng);
    return copy;
  };
  const ColorAugment all{0.3, 0.3, 0.3, 0.1, 0.1, 0.1};
  EXPECT_EQ(jittered({}, 1), image);
  EXPECT_EQ(jittered(all, 1), jittered(all, 1));
  EXPECT_NE(jittered(all, 1), jittered(all, 2));
  ColorAugment always_gray;
  always_gray.grayscale = 1;
  const Image gray = jittered(always_gray, 3);
  for (std::size_t i = 0; i < gray.pixels.size(); i += 3) {
    EXPECT_EQ(gray.pixels[i], gray.pixels[i + 1]);
    EXPECT_EQ(gray.pixels[i], gray.pixels[i + 2]);
  }
}

}  // namespace
}  // namespace fovea::image
