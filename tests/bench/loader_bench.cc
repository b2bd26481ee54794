// The time from a JPEG file's bytes to a model's input, on one thread: what tests/bench/pillow_loader.py does in
// Pillow.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "fovea/core/error.h"
#include "fovea/core/rng.h"
#include "fovea/image/transform.h"

namespace {

using namespace fovea;

std::vector<std::string> read_all(const std::string& folder) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) files.push_back(entry.path().string());
  std::sort(files.begin(), files.end());
  for (std::string& file : files) file = image::read_picture_file(file);
  return files;
}

// As the loader does it, with the normalisation that follows.
Tensor prepare(const std::string& file, const image::TransformConfig& config, bool train, Rng& rng) {
  const std::span bytes(reinterpret_cast<const std::uint8_t*>(file.data()), file.size());
  if (!train) {
    return image::to_tensor(image::eval_transform(image::decode(bytes, "picture"), config), config.normalization);
  }
  const image::Size size = image::picture_size(bytes, "picture");
  const int reduction = image::train_reduction(size, config, rng);
  const image::Image picture = image::decode(bytes, "picture", {.reduction = reduction});
  return image::to_tensor(image::train_transform(picture, size, config, rng), config.normalization);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Time from a JPEG file to a model's input, on one thread.");
  std::string folder, mode = "eval";
  int size = 224, repeats = 3;
  app.add_option("folder", folder, "of JPEG files")->required();
  app.add_option("--mode", mode,
                 "eval: CLIP's; crop: RandomResizedCrop of 0.9 to 1; reduced: the same after scaled decoding")
      ->check(CLI::IsMember({"eval", "crop", "reduced"}));
  app.add_option("--size", size, "side of the result in pixels");
  app.add_option("--repeats", repeats, "passes over the folder; the fastest counts");
  CLI11_PARSE(app, argc, argv);
  try {
    image::TransformConfig config;
    config.size = size;
    if (mode != "eval") config.augment.crop.scale = {0.9, 1};
    config.augment.scaled_decode = mode == "reduced";
    const std::vector<std::string> files = read_all(folder);
    double best = 1e30;
    for (int i = 0; i < repeats; ++i) {
      Rng rng(1);
      const auto start = std::chrono::steady_clock::now();
      for (const std::string& file : files) prepare(file, config, mode != "eval", rng);
      best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    std::printf("%.4f\n", 1e3 * best / static_cast<double>(files.size()));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
