// Trains CLIP from a configuration file.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "fovea/train/clip_task.h"
#include "fovea/train/trainer.h"

namespace {

std::string footer() {
  return "The run folder receives config.json, metrics.jsonl, report.html and model/, which `evaluate` reads.\n\n"
         "  train_clip --config examples/configs/quickstart.json --output out/quickstart\n"
         "  train_clip --set model=small-vit train.minutes=10 --output out/vit\n\n"
         "Your own pictures: a folder with a tab-separated captions.tsv, whose first line names the columns and whose\n"
         "picture paths start from that folder. With the columns image, split and caption, the rows of split "
         "\"train\"\n"
         "are trained on and all other splits are scored; without a split column, all rows are trained on:\n\n"
         "  train_clip --set data.path=FOLDER --output out/mine\n"
         "  train_clip --set data.path=FOLDER data.split_column= data.batch_size=64 --output out/mine\n\n"
         "Models: describe_model lists the presets that `model` may name, with their sizes.\n\n"
         "The keys of a configuration, with the values of those that are left out:\n" +
         fovea::train::dump_config({});
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Trains CLIP on pairs of pictures and captions.");
  std::string config_file, output, precision;
  std::vector<std::string> assignments;
  std::int64_t threads = 0, seed = -1;
  app.add_option("--config", config_file, "configuration (JSON); without one, the defaults below")->type_name("FILE");
  app.add_option("--output", output, "run folder; one that holds a run is refused")->type_name("DIR");
  app.add_option("--threads", threads, "threads that compute; default: FOVEA_NUM_THREADS, or one per processor")
      ->check(CLI::PositiveNumber)
      ->type_name("N");
  app.add_option("--seed", seed, "seed of everything random")->check(CLI::NonNegativeNumber)->type_name("N");
  app.add_option("--precision", precision, "f32, or f64 for checking (slow); bf16 is not supported yet")
      ->type_name("NAME");
  app.add_option("--set", assignments, "change keys of the configuration, over everything else")
      ->type_name("KEY=VALUE");
  app.footer(footer);
  CLI11_PARSE(app, argc, argv);
  try {
    using namespace fovea;
    train::Config config = config_file.empty() ? train::Config() : train::load_config(config_file);
    if (!output.empty()) config.output = output;
    if (threads > 0) train::apply_set(config, concat("train.threads=", threads));
    if (seed >= 0) config.train.seed = static_cast<std::uint64_t>(seed);
    if (!precision.empty()) train::apply_set(config, "train.precision=" + precision);
    for (const std::string& assignment : assignments) train::apply_set(config, assignment);
    train::ClipTask task(config);
    train::Trainer(task, config).run();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
