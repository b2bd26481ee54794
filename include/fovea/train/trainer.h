// The training loop.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "fovea/autograd/anomaly.h"
#include "fovea/autograd/profiler.h"
#include "fovea/optim/ema.h"
#include "fovea/optim/gradient_exchange.h"
#include "fovea/optim/optimizer.h"
#include "fovea/optim/schedule.h"
#include "fovea/train/checkpoint.h"
#include "fovea/train/config.h"
#include "fovea/train/meters.h"
#include "fovea/train/progress.h"
#include "fovea/train/stop_signal.h"
#include "fovea/train/task.h"

namespace fovea::train {

FOVEA_API optim::Optimizer make_optimizer(const OptimConfig& config);

// Trains a task on its loader's batches, step by step: loss, backward, clip, schedule, update. In the run folder
// `config.output` it writes config.json, metrics.jsonl and checkpoints/ and, at the end, the model folder `model/`, one
// evaluation line over all splits, and report.html. With `config.optim.ema_decay`, evaluation and model/ use the
// averaged weights.
//
// A step whose loss or gradient is not finite is skipped: weights, moments and BatchNorm's statistics stay, the
// schedule goes on. A checkpoint that cannot be written is a warning and training goes on, except for the first one and
// the one that a requested stop writes.
//
// With several ranks (Task::group), all construct the trainer and run it; the run is that of one rank with the same
// configuration, up to rounding and to BatchNorm, whose statistics are each rank's own. Rank 0 alone reads and writes
// the run folder, evaluates and logs; decisions are taken together. Throws Error naming the key when the ranks'
// configurations differ.
class FOVEA_API Trainer {
 public:
  // A new run, for which the run folder must not hold one already: nothing saved is ever overwritten. Throws Error when
  // the folder cannot be made.
  Trainer(Task& task, const Config& config) : Trainer(task, config, std::nullopt) {}

  // A run that goes on in its run folder `config.output`, to the same bits as if it had never stopped: from its newest
  // whole checkpoint when `from` is "latest" (from the start when there is none yet), or from the folder of a
  // checkpoint. Lines of metrics.jsonl that will be written again are dropped. Throws Error naming the key when
  // `config` would give another run than the config.json in the run folder; what does not change the result may differ
  // (threads, workers, when and how many checkpoints are kept, anomaly detection).
  static Trainer resumed(Task& task, const Config& config, const std::string& from) { return {task, config, from}; }

  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  // Computes with `config.train.threads` threads, which stays the process's number. False when stop_requested() ended
  // it, after saving a checkpoint. Throws Error when train.max_bad_steps steps in a row were not finite, and when
  // detect_anomaly found why; what was logged and saved until then stays.
  bool run();

  std::int64_t total_steps() const { return schedule_.total; }

 private:
  struct StepResult {
    objectives::Loss loss;
    double grad_norm = 0, lr = 0;
    bool finite = true;
  };
  // Means over the steps since the last line of the log.
  struct Window {
    StepTimer timer;
    Average loss, grad_norm;
    std::vector<Average> parts;

    void add(const StepResult& result);
    std::vector<double> numbers() const;
    static Window from_numbers(const std::vector<double>& numbers);
  };

  Trainer(Task& task, const Config& config, std::optional<std::string> resume_from);

  bool leads() const { return group_.rank() == 0; }
  void refuse_different_ranks() const;
  void open_run_folder(const std::optional<std::string>& resume_from);
  void share_start();
  void share_result(StepResult& result);
  void resume(const std::string& from);
  void restore(const Checkpoint& checkpoint);
  io::TensorMap optimizer_tensors() const;
  void write_checkpoint();
  bool try_to_write_checkpoint();

  void describe();
  void plan();
  void make_schedule(std::int64_t total_steps);
  double measure_step_seconds();
  std::vector<data::Batch> next_batches();
  void go_to_step(std::int64_t step);
  double backward_pass(std::span<const data::Batch> batches, StepResult& result);
  StepResult step(std::span<const data::Batch> batches);
  void update_weights(StepResult& result);
  void note_bad_step(const StepResult& result);
  void check_first_loss(const StepResult& result, std::int64_t samples) const;
  void timed_step(Progress* progress);
  void start_profile();
  void finish_profile();
  bool profile_is_over() const { return profiler_ && state_.step == profile_end_; }
  bool train();
  bool stops() const { return group_.size() > 1 ? stop_agreed_ : stop_requested(); }
  bool finish();
  bool checkpoint_is_due() const;
  bool evaluation_is_due() const;
  void log_step(const StepResult& result);
  bool evaluate();
  void save_model();
  void report(std::int64_t skipped) const;

  Task& task_;
  dist::Group& group_;
  Config config_;
  optim::ParamStore store_;
  std::optional<optim::GradientExchange> exchange_;  // with several ranks
  optim::Optimizer optimizer_;
  std::optional<optim::Ema> ema_;
  optim::Schedule schedule_;
  Checkpoints checkpoints_;
  NodeNames parameter_names_;
  TrainState state_;
  Window window_;
  std::int64_t steps_per_epoch_ = 1;
  bool planned_ = false;          // the checkpoint told the plan
  bool stop_agreed_ = false;      // with several ranks: one of them was asked to stop
  std::int64_t saved_step_ = -1;  // of the last checkpoint
  double saved_at_ = 0;           // on the clock
  std::optional<MetricsLog> log_;
  std::optional<Profiler> profiler_;
  std::int64_t profile_begin_ = -1, profile_end_ = -1;  // steps
};

}  // namespace fovea::train
