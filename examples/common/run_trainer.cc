#include "run_trainer.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <optional>

#include "fovea/core/error.h"
#include "fovea/core/log.h"
#include "fovea/core/parallel.h"
#include "fovea/dist/mpi.h"
#include "fovea/train/checkpoint.h"
#include "fovea/train/clip_task.h"
#include "fovea/train/flags.h"
#include "fovea/train/plan.h"
#include "fovea/train/stop_signal.h"
#include "fovea/train/trainer.h"

namespace fovea::examples {
namespace {

// The lines of `text` with the program's name where it says PROGRAM.
std::string with_name(std::string text, const std::string& name) {
  const std::string placeholder = "PROGRAM";
  for (std::size_t at = text.find(placeholder); at != std::string::npos; at = text.find(placeholder, at + name.size()))
    text.replace(at, placeholder.size(), name);
  return text;
}

std::string footer(const TrainerProgram& program) {
  return with_name(
             "The run folder receives config.json, metrics.jsonl, checkpoints/ and, at the end, report.html and "
             "model/,\n"
             "which `evaluate` reads.\n\n" +
                 std::string(program.example) +
                 "\n"
                 "Ctrl-C (or SIGTERM) finishes the step, saves a checkpoint and ends. A process that is killed loses "
                 "the\n"
                 "steps since its last checkpoint. To go on, to the same bits as if the run had never stopped:\n\n"
                 "  PROGRAM --output out/vit --resume latest\n\n"
                 "From the weights of another run, or of a model folder:\n\n"
                 "  PROGRAM --model out/vit/model --lr 1e-4 --lock-image --output out/tuned\n\n"
                 "Your own pictures: a folder with a tab-separated captions.tsv, whose first line names the columns "
                 "and "
                 "whose\n"
                 "picture paths start from that folder. With the columns image, split and caption, the rows of split "
                 "\"train\"\n"
                 "are trained on and all other splits are scored; without a split column, all rows are trained on:\n\n"
                 "  PROGRAM --train-data FOLDER --output out/mine\n"
                 "  PROGRAM --train-data FOLDER --set data.split_column= --batch-size 64 --output out/mine\n\n"
                 "Models: inspect lists the presets that `--model` may name, with their sizes.\n"
                 "docs/training-configuration.md explains every key. All keys, with the values of those that are left "
                 "out:\n",
             program.name) +
         train::dump_config(program.defaults);
}

// What the command line says.
struct Options {
  std::string config_file, resume;
  std::vector<std::string> assignments;
  std::deque<std::vector<std::string>> values;  // of each training flag; CLI11 keeps their addresses
  std::deque<bool> switches;
};

void add_options(CLI::App& app, Options& options) {
  app.add_option("--config", options.config_file, "configuration (JSON); without one, the defaults below")
      ->type_name("FILE");
  app.add_option("--resume", options.resume,
                 "go on with the run in --output: \"latest\", or the folder of one of its checkpoints")
      ->type_name("latest|DIR");
  app.add_option("--set", options.assignments, "change keys of the configuration, over everything else")
      ->type_name("KEY=VALUE");
  for (const train::Flag& flag : train::training_flags()) {
    std::string help = std::string("sets ") + flag.key;
    if (std::string(flag.key) == "train.threads") help += "; default: FOVEA_NUM_THREADS, or one per processor";
    if (flag.kind == train::Flag::Kind::setting) {
      app.add_flag(flag.name, options.switches.emplace_back(), help + " to " + flag.setting);
      options.values.emplace_back();
    } else {
      CLI::Option* option = app.add_option(flag.name, options.values.emplace_back(), help);
      option->type_name(flag.kind == train::Flag::Kind::list ? "NAME" : "VALUE");
      if (flag.kind == train::Flag::Kind::value) option->expected(1);
      options.switches.emplace_back();
    }
  }
}

// The run folder, where the command line tells it.
std::string given_output(const Options& options) {
  const auto flags = train::training_flags();
  for (std::size_t i = 0; i < flags.size(); ++i) {
    if (std::string(flags[i].key) == "output" && !options.values[i].empty()) return options.values[i].back();
  }
  return !options.resume.empty() && options.resume != "latest" ? train::run_folder_of(options.resume) : "";
}

// The configuration of the run in the output folder; none where there is no run.
std::optional<train::Config> started_run(const std::string& output) {
  std::error_code unknown;
  if (!std::filesystem::exists(output + "/config.json", unknown)) return std::nullopt;
  return train::load_config(output + "/config.json");
}

// File or defaults, or the configuration of the run that goes on; then the flags and --set.
train::Config make_config(const Options& options, const train::Config& defaults) {
  train::Config config = defaults;
  const std::string output = given_output(options);
  if (!options.config_file.empty()) {
    config = train::load_config(options.config_file, defaults);
  } else if (!options.resume.empty()) {
    const std::string folder = output.empty() ? config.output : output;
    std::error_code unknown;
    FOVEA_CHECK(
        std::filesystem::exists(folder + "/config.json", unknown), "[train] ", folder,
        " holds no run to go on with\nhint: leave --resume out to start one; with --config FILE, --resume latest "
        "starts a run where there is none");
    config = train::load_config(folder + "/config.json");
  }
  if (!output.empty()) config.output = output;
  const auto flags = train::training_flags();
  for (std::size_t i = 0; i < flags.size(); ++i) {
    if (options.switches[i] || !options.values[i].empty()) train::apply_flag(config, flags[i], options.values[i]);
  }
  for (const std::string& assignment : options.assignments) train::apply_set(config, assignment);
  return config;
}

}  // namespace

int run_trainer(int argc, char** argv, const TrainerProgram& program) {
  CLI::App app(program.purpose);
  Options options;
  add_options(app, options);
  app.footer([&] { return footer(program); });
  CLI11_PARSE(app, argc, argv);
  try {
    dist::Group& group = dist::world();
    train::Config config = make_config(options, program.defaults);
    if (!config.train.max_memory.empty()) {
      if (config.train.threads > 0) set_num_threads(static_cast<int>(config.train.threads));
      const auto started = options.resume.empty() ? std::nullopt : started_run(config.output);
      train::Fitted fitted = train::fit_memory(config, started ? &*started : nullptr, group);
      log::info(fitted.explanation);
      config = std::move(fitted.config);
    }
    const train::StopOnSignals signals;
    train::ClipTask task(config);
    const bool finished = options.resume.empty() ? train::Trainer(task, config).run()
                                                 : train::Trainer::resumed(task, config, options.resume).run();
    if (!finished && group.rank() == 0)
      std::fprintf(stderr, "to go on: %s --output %s --resume latest\n", program.name, config.output.c_str());
  } catch (const std::exception& error) {
    return dist::report_failure(error.what());
  }
  return 0;
}

}  // namespace fovea::examples
