// Trains CLIP from a configuration file.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "fovea/core/parallel.h"
#include "fovea/train/clip_task.h"
#include "fovea/train/trainer.h"

int main(int argc, char** argv) {
  CLI::App app("Trains CLIP on pairs of pictures and captions.");
  std::string config_file, output;
  std::vector<std::string> assignments;
  std::int64_t threads = -1, seed = -1;
  app.add_option("--config", config_file, "configuration (JSON)")->type_name("FILE");
  app.add_option("--output", output, "run folder, instead of the configuration's")->type_name("DIR");
  app.add_option("--threads", threads, "threads that compute")->check(CLI::PositiveNumber);
  app.add_option("--seed", seed, "seed of everything random")->check(CLI::NonNegativeNumber);
  app.add_option("--set", assignments, "change one key: --set optim.lr=1e-3")->type_name("KEY=VALUE");
  CLI11_PARSE(app, argc, argv);
  try {
    using namespace fovea;
    train::Config config = config_file.empty() ? train::Config() : train::load_config(config_file);
    if (!output.empty()) config.output = output;
    if (threads > 0) config.train.threads = threads;
    if (seed >= 0) config.train.seed = static_cast<std::uint64_t>(seed);
    for (const std::string& assignment : assignments) train::apply_set(config, assignment);
    if (config.train.threads > 0) set_num_threads(static_cast<int>(config.train.threads));
    train::ClipTask task(config);
    train::Trainer(task, config).run();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
