// Prints how large models are.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "fovea/core/allocator.h"
#include "fovea/models/presets.h"
#include "fovea/train/config.h"
#include "fovea/train/report.h"

namespace {

// Of a preset's name, or of a trainer's configuration file.
fovea::models::ClipConfig read_model(const std::string& name) {
  if (!name.ends_with(".json")) return fovea::models::clip_preset(name);
  return fovea::models::parse_clip_config(fovea::train::load_config(name).model);
}

void print_row(const std::string& name) {
  using namespace fovea;
  const models::ClipConfig config = read_model(name);
  const std::int64_t tokens = models::TextTower::context(config.text);
  const models::ModelSize size = models::model_size(config, tokens);
  std::printf("%-26s %15s %6lld %10.3f %7lld %10.3f\n", name.c_str(), train::format_count(size.parameters).c_str(),
              static_cast<long long>(models::ImageTower::image_size(config.image)), size.image_flops * 1e-9,
              static_cast<long long>(tokens), size.text_flops * 1e-9);
  allocator::release_cached();  // the next model would not fit what this one leaves
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Prints parameters and forward GFLOPs (two operations per multiply-add) of CLIP models.");
  std::vector<std::string> names;
  app.add_option("models", names, "presets, or configuration files of train_clip (*.json); default: every preset");
  CLI11_PARSE(app, argc, argv);
  try {
    if (names.empty()) names = fovea::models::clip_preset_names();
    std::printf("%-26s %15s %6s %10s %7s %10s\n", "model", "parameters", "pixels", "GFLOP", "tokens", "GFLOP");
    for (const std::string& name : names) print_row(name);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
