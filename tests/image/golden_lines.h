// The pictures of tests/golden/image.txt, made by make_image_golden.py.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "../support/error_of.h"
#include "fovea/core/error.h"
#include "fovea/image/decode.h"

namespace fovea::image {

inline const std::string golden_folder = FOVEA_SOURCE_DIR "/tests/golden/";

inline Image golden_image(const std::string& name) { return read_image(golden_folder + "images/" + name); }

struct GoldenLine {
  std::string operation, file;
  std::vector<std::string> arguments;
  Image expected;
};

// The lines of one operation.
inline std::vector<GoldenLine> golden_lines(const std::string& operation) {
  std::ifstream in(golden_folder + "image.txt");
  std::vector<GoldenLine> lines;
  for (std::string text; std::getline(in, text);) {
    std::istringstream words(text);
    GoldenLine line;
    words >> line.operation >> line.file;
    if (line.operation != operation) continue;
    std::vector<std::string> rest;
    for (std::string word; words >> word;) rest.push_back(word);
    const std::string hex = rest.back();
    line.expected = Image(std::stoi(rest[rest.size() - 3]), std::stoi(rest[rest.size() - 2]));
    line.arguments.assign(rest.begin(), rest.end() - 3);
    for (std::size_t i = 0; i < line.expected.pixels.size(); ++i) {
      line.expected.pixels[i] = static_cast<std::uint8_t>(std::stoi(hex.substr(2 * i, 2), nullptr, 16));
    }
    lines.push_back(std::move(line));
  }
  return lines;
}

// The largest difference between two pictures in any channel; 256 when their sizes differ.
inline int max_difference(const Image& a, const Image& b) {
  if (a.width != b.width || a.height != b.height) return 256;
  int largest = 0;
  for (std::size_t i = 0; i < a.pixels.size(); ++i) {
    largest = std::max(largest, std::abs(int{a.pixels[i]} - int{b.pixels[i]}));
  }
  return largest;
}

using tests::error_of;

}  // namespace fovea::image
