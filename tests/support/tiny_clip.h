// Drawn pictures with captions, and models small enough to learn them in a moment.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "temp_folder.h"

#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wextra"
#include <stb/stb_image_write.h>
#pragma GCC diagnostic pop

namespace fovea::tests {

inline const char* const tiny_resnet_cbow = R"({
  "image": {"type": "resnet", "image_size": 16, "stem_kernel": 3, "channels": [8, 16], "blocks": [1, 1]},
  "text": {"type": "cbow", "vocabulary": 4096, "context": 16, "width": 16},
  "embed": 16})";
inline const char* const tiny_vit_transformer = R"({
  "image": {"type": "vit", "image_size": 16, "patch_size": 8, "width": 32, "layers": 1, "heads": 2},
  "text": {"type": "transformer", "vocabulary": 4096, "context": 16, "width": 32, "layers": 1, "heads": 2},
  "embed": 16})";

namespace detail {

struct Color {
  const char* name;
  std::array<unsigned char, 3> rgb;
};
inline constexpr Color colors[]{{"red", {220, 20, 20}},    {"green", {20, 200, 20}},  {"blue", {20, 20, 220}},
                                {"yellow", {230, 220, 0}}, {"black", {0, 0, 0}},      {"cyan", {0, 220, 220}},
                                {"pink", {250, 150, 190}}, {"orange", {240, 130, 10}}};

struct Pattern {
  const char* name;
  bool (*covers)(int x, int y);  // of a picture of 20 x 20
};
inline constexpr Pattern patterns[]{{"square", [](int x, int y) { return x > 4 && x < 15 && y > 4 && y < 15; }},
                                    {"rows", [](int, int y) { return y / 5 % 2 == 0; }},
                                    {"columns", [](int x, int) { return x / 5 % 2 == 0; }},
                                    {"top", [](int, int y) { return y < 7; }},
                                    {"left", [](int x, int) { return x < 7; }}};

// A PNG file's bytes: the pattern in white on the colour.
inline std::string draw(const Color& color, const Pattern& pattern) {
  constexpr int side = 20;
  std::vector<unsigned char> pixels;
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < side; ++x) {
      for (const unsigned char channel : color.rgb) pixels.push_back(pattern.covers(x, y) ? 255 : channel);
    }
  }
  std::string png;
  const auto append = [](void* out, void* bytes, int count) {
    static_cast<std::string*>(out)->append(static_cast<const char*>(bytes), static_cast<std::size_t>(count));
  };
  stbi_write_png_to_func(append, &png, side, side, 3, pixels.data(), 3 * side);
  return png;
}

}  // namespace detail

// A data set of 40 pairs in a folder of its own: 16 of split "train", 16 of "more", 8 of "test". No two captions or
// pictures are equal; column "keywords" is a list.
class TinyData {
 public:
  TinyData() {
    std::string table = "image\tsplit\tcaption\tkeywords\n";
    int row = 0;
    for (const detail::Pattern& pattern : detail::patterns) {
      for (const detail::Color& color : detail::colors) {
        const std::string name = concat(color.name, "_", pattern.name, ".png");
        folder_.write(name, detail::draw(color, pattern));
        table += concat(name, "\t",
                        row < 16   ? "train"
                        : row < 32 ? "more"
                                   : "test",
                        "\t", color.name, " ", pattern.name, "\t", color.name, ", ", pattern.name, "\n");
        ++row;
      }
    }
    folder_.write("captions.tsv", table);
  }

  const std::string& path() const { return folder_.path(); }
  const TempFolder& folder() const { return folder_; }

 private:
  TempFolder folder_;
};

}  // namespace fovea::tests
