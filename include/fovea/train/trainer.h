// The training loop.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fovea/optim/adamw.h"
#include "fovea/optim/ema.h"
#include "fovea/optim/schedule.h"
#include "fovea/train/config.h"
#include "fovea/train/meters.h"
#include "fovea/train/task.h"

namespace fovea::train {

// Trains a task on its loader's batches, step by step: loss, backward, clip, schedule, update. In the run folder
// `config.output` it writes config.json and metrics.jsonl and, at the end, the model folder `model/`, one evaluation
// line over all splits, and report.html. With `config.optim.ema_decay`, evaluation and model/ use the averaged weights.
class FOVEA_API Trainer {
 public:
  // Throws Error when the run folder already holds a run (nothing saved is ever overwritten) or cannot be made.
  Trainer(Task& task, const Config& config);

  // Computes with `config.train.threads` threads, which stays the process's number. Throws Error when the loss stops
  // being finite; what was logged until then stays.
  void run();

  std::int64_t total_steps() const { return schedule_.total; }

 private:
  struct StepResult {
    objectives::Loss loss;
    double grad_norm = 0, lr = 0;
  };
  // Means over the steps since the last line of the log.
  struct Window {
    StepTimer timer;
    Average loss, grad_norm;
    std::vector<Average> parts;

    void add(const StepResult& result);
  };

  std::int64_t plan_steps();
  double measure_step_seconds();
  double backward_pass(const data::Batch& batch, StepResult& result);
  StepResult step(const data::Batch& batch);
  void train(std::int64_t total, std::int64_t per_epoch);
  void log_step(std::int64_t step, double epoch, const StepResult& result, const Window& window);
  std::vector<SplitScores> evaluate(std::int64_t step);
  void save_model();
  void report(double seconds) const;

  Task& task_;
  Config config_;
  optim::ParamStore store_;
  optim::AdamW optimizer_;
  std::optional<optim::Ema> ema_;
  optim::WarmupCosine schedule_;
  MetricsLog log_;
};

}  // namespace fovea::train
