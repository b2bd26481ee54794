// Prints what is in a model, a configuration or a file of tensors, and how large it is.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <optional>

#include "fovea/core/allocator.h"
#include "fovea/io/npy.h"
#include "fovea/io/safetensors.h"
#include "fovea/io/tensor_tree.h"
#include "fovea/io/torch_file.h"
#include "fovea/models/clip_folder.h"
#include "fovea/models/presets.h"
#include "fovea/nn/visit.h"
#include "fovea/train/config.h"
#include "fovea/train/plan.h"
#include "fovea/train/report.h"

namespace {

using namespace fovea;

// A file of tensors; none when the name has another ending.
std::optional<io::TensorMap> read_tensors(const std::string& name) {
  if (name.ends_with(".safetensors")) return io::load_safetensors(name);
  if (name.ends_with(".npy")) return io::TensorMap{{std::filesystem::path(name).stem().string(), io::load_npy(name)}};
  for (const char* ending : {".pt", ".pth", ".bin"}) {
    if (name.ends_with(ending)) return io::load_torch(name);
  }
  return std::nullopt;
}

// Of a model folder, a trainer's configuration file, or a preset.
models::ClipConfig read_model(const std::string& name) {
  std::error_code error;
  if (std::filesystem::is_directory(name, error)) return models::load_clip_model(name).model.config;
  if (name.ends_with(".json")) return models::parse_clip_config(train::load_config(name).model);
  try {
    return models::clip_preset(name);
  } catch (const Error& unknown) {
    fail(unknown.what(), "\nhint: expected a preset, a model folder, a trainer's configuration (*.json), or a file of ",
         "tensors (*.safetensors, *.pt, *.pth, *.bin, *.npy)");
  }
}

// Named views of a model's parameters, none of which is ever touched.
io::TensorMap parameters_of(const models::ClipConfig& config) {
  nn::Init init = nn::Init::none();
  models::ClipModel model(config, init);
  io::TensorMap tensors;
  for (const nn::ParamEntry& entry : nn::collect(model)) tensors.emplace(entry.path, entry.value());
  return tensors;
}

void print_heading() {
  std::printf("%-26s %15s %6s %10s %7s %10s\n", "model", "parameters", "pixels", "GFLOP", "tokens", "GFLOP");
}

void print_row(const std::string& name, const models::ClipConfig& config) {
  const std::int64_t tokens = models::TextTower::context(config.text);
  const models::ModelSize size = models::model_size(config, tokens);
  std::printf("%-26s %15s %6lld %10.3f %7lld %10.3f\n", name.c_str(), train::format_count(size.parameters).c_str(),
              static_cast<long long>(models::ImageTower::image_size(config.image)), size.image_flops * 1e-9,
              static_cast<long long>(tokens), size.text_flops * 1e-9);
  allocator::release_cached();  // the next model would not fit what this one leaves
}

void print_model_json(const models::ClipConfig& config, int depth) {
  const std::int64_t tokens = models::TextTower::context(config.text);
  const models::ModelSize size = models::model_size(config, tokens);
  std::printf(
      "{\"parameters\": %lld, \"image_size\": %lld, \"image_flops\": %.17g, \"text_tokens\": %lld, "
      "\"text_flops\": %.17g, \"tensors\": %s}\n",
      static_cast<long long>(size.parameters), static_cast<long long>(models::ImageTower::image_size(config.image)),
      size.image_flops, static_cast<long long>(tokens), size.text_flops,
      io::tensor_tree_json(parameters_of(config), depth).c_str());
}

void inspect_one(const std::string& name, int depth, bool json) {
  if (const auto tensors = read_tensors(name)) {
    std::printf("%s\n",
                json ? io::tensor_tree_json(*tensors, depth).c_str() : io::tensor_tree(*tensors, depth).c_str());
    return;
  }
  const models::ClipConfig config = read_model(name);
  if (json) return print_model_json(config, depth);
  print_heading();
  print_row(name, config);
  std::printf("\n%s", io::tensor_tree(parameters_of(config), depth).c_str());
}

// What `--plan` is told besides the name.
struct PlanRequest {
  std::string name;
  std::vector<std::string> assignments;
  std::int64_t tokens = 0;
};

// Of a trainer's configuration file, a benchmark of bench_step, or a model as `model` would name it.
void print_plan(const PlanRequest& request) {
  const std::vector<std::string> benchmarks = models::step_benchmark_names();
  train::Config config;
  train::PlanOptions options;
  options.caption_tokens = request.tokens;
  if (std::find(benchmarks.begin(), benchmarks.end(), request.name) != benchmarks.end()) {
    const models::StepBenchmark benchmark = models::step_benchmark(request.name);
    config.model = models::to_json(benchmark.model);
    options.image_tower_alone = benchmark.image_tower_alone;
    options.trainer = false;
    options.every_token = true;
  } else if (request.name.ends_with(".json")) {
    config = train::load_config(request.name);
  } else {
    train::apply_set(config, "model=" + request.name);
  }
  for (const std::string& assignment : request.assignments) train::apply_set(config, assignment);
  std::printf("%s", train::to_text(train::make_plan(config, options)).c_str());
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Prints parameters, shapes and forward GFLOPs (two operations per multiply-add) of models, and what is in files "
      "of "
      "tensors.");
  std::vector<std::string> names;
  int depth = 2;
  bool json = false;
  app.add_option("what", names,
                 "one preset, model folder, configuration file of train_clip (*.json), or file of tensors "
                 "(*.safetensors, *.pt, *.pth, *.bin, *.npy): its tree of modules; several models, or none for every "
                 "preset: a table of their sizes");
  app.add_option("--depth", depth, "levels of the tree; deeper modules are summed up")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str()
      ->type_name("N");
  PlanRequest plan;
  app.add_option(
         "--plan", plan.name,
         "memory and time of a training step, from passes over a few pairs: of a trainer's configuration (*.json), "
         "a model, or a benchmark (small, s16, b32, rn50) as bench_step measures it")
      ->type_name("CONFIG");
  app.add_option("--set", plan.assignments, "for --plan: change keys of the configuration")->type_name("KEY=VALUE");
  app.add_option("--tokens", plan.tokens, "for --plan: tokens of each caption, start and end included; 0: the context")
      ->type_name("N");
  app.add_flag("--json", json, "print one line of JSON for each");
  CLI11_PARSE(app, argc, argv);
  try {
    if (!plan.name.empty()) {
      print_plan(plan);
      return 0;
    }
    const bool table = names.size() != 1 && !json;
    if (names.empty()) names = models::clip_preset_names();
    if (!table) {
      for (const std::string& name : names) inspect_one(name, depth, json);
      return 0;
    }
    print_heading();
    for (const std::string& name : names) print_row(name, read_model(name));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
