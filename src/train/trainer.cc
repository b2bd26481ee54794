#include "fovea/train/trainer.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "fovea/autograd/backward.h"
#include "fovea/core/log.h"
#include "fovea/core/parallel.h"
#include "fovea/io/file.h"
#include "fovea/train/progress.h"

namespace fovea::train {
namespace {

constexpr int warm_steps = 2, timed_steps = 6;  // of the speed measurement
constexpr double planned_share = 0.97;          // of the minutes; the rest absorbs slower stretches

std::string prepared_folder(const std::string& folder) {
  FOVEA_CHECK(!folder.empty(), "[train] output is empty, expected the run folder's name");
  const std::string metrics = folder + "/metrics.jsonl";
  std::error_code error;
  // An empty log is what a start that failed leaves behind.
  const bool holds_run = std::filesystem::exists(metrics, error) && !std::filesystem::is_empty(metrics, error);
  FOVEA_CHECK(!holds_run, "[train] ", folder,
              " already holds a run\nhint: choose another output, or move the old run away");
  std::filesystem::create_directories(folder, error);
  FOVEA_CHECK(!error, "[train] cannot create the run folder ", folder, ": ", error.message());
  return metrics;
}

// The values of all buffers, put back on destruction: a trial step must not move BatchNorm's statistics.
class BufferGuard {
 public:
  explicit BufferGuard(const std::vector<nn::ParamEntry>& entries) {
    for (const nn::ParamEntry& entry : entries) {
      if (entry.leaf->is_buffer()) saved_.emplace_back(entry.leaf, entry.leaf->value.clone());
    }
  }
  ~BufferGuard() {
    for (auto& [leaf, value] : saved_) leaf->value.copy_from(value);
  }
  BufferGuard(const BufferGuard&) = delete;
  BufferGuard& operator=(const BufferGuard&) = delete;

 private:
  std::vector<std::pair<std::shared_ptr<nn::ParamLeaf>, Tensor>> saved_;
};

}  // namespace

Task::~Task() = default;

Trainer::Trainer(Task& task, const Config& config)
    : task_(task),
      config_(task.resolved(config)),
      store_(task.parameters()),
      optimizer_{config.optim.betas[0], config.optim.betas[1], config.optim.eps, config.optim.weight_decay},
      log_(prepared_folder(config.output)) {
  const OptimConfig& optim = config_.optim;
  if (optim.ema_decay > 0) ema_.emplace(store_, task.parameters(), optim.ema_decay, optim.ema_warmup);
  io::write_file(config_.output + "/config.json", dump_config(config_));
}

double Trainer::measure_step_seconds() {
  const BufferGuard guard(task_.parameters());
  task_.loader().restart(0, 0);
  double start = 0;
  for (int i = 0; i < warm_steps + timed_steps; ++i) {
    if (i == warm_steps) start = monotonic_seconds();
    const data::Batch batch = task_.loader().next();
    StepResult trial;
    backward_pass(batch, trial);
  }
  return (monotonic_seconds() - start) / timed_steps;
}

std::int64_t Trainer::plan_steps() {
  const std::int64_t per_epoch = task_.loader().batches_per_epoch();
  if (config_.train.minutes <= 0) return config_.train.epochs * per_epoch;
  const double start = monotonic_seconds();
  const double seconds = measure_step_seconds();
  const double left = planned_share * 60 * config_.train.minutes - (monotonic_seconds() - start);
  const auto steps = static_cast<std::int64_t>(left / seconds);
  const std::int64_t epochs = steps / per_epoch;
  return std::max<std::int64_t>(1, epochs >= 2 ? epochs * per_epoch : steps);
}

// Leaves the gradients in the store and returns their norm.
double Trainer::backward_pass(const data::Batch& batch, StepResult& result) {
  nn::Ctx ctx;
  ctx.training = true;
  store_.clear_gradients();
  result.loss = task_.loss(batch, ctx);
  backward(result.loss.total);
  result.loss.total = result.loss.total.detach();
  store_.complete_gradients();
  return optim::gradient_norm(store_);
}

Trainer::StepResult Trainer::step(const data::Batch& batch) {
  StepResult result;
  result.grad_norm = backward_pass(batch, result);
  FOVEA_CHECK(std::isfinite(result.loss.total.item()) && std::isfinite(result.grad_norm), "[train] the loss is ",
              result.loss.total.item(), " and the gradient's norm ", result.grad_norm, " at step ",
              optimizer_.steps + 1, "\nhint: lower optim.lr, or set train.grad_clip_norm");
  result.lr = schedule_(optimizer_.steps);
  optimizer_.step(store_, result.lr, optim::clip_factor(result.grad_norm, config_.train.grad_clip_norm));
  task_.after_step();
  if (ema_) ema_->update(optimizer_.steps);
  return result;
}

std::vector<SplitScores> Trainer::evaluate(std::int64_t at_step) {
  const optim::EmaScope averages(ema_ ? &*ema_ : nullptr);
  std::vector<SplitScores> scores;
  for (const std::string& split : config_.eval.splits) scores.push_back(task_.evaluate(split));
  if (!scores.empty()) log_.write_evaluation(at_step, scores);
  return scores;
}

void Trainer::save_model() {
  const optim::EmaScope averages(ema_ ? &*ema_ : nullptr);
  task_.save(config_.output + "/model");
}

void Trainer::report(double seconds) const {
  Facts facts = task_.facts();
  facts.emplace_back("Steps", format_count(schedule_.total));
  facts.emplace_back("Batch size", format_count(config_.data.batch_size));
  facts.emplace_back("Training time", format_duration(seconds));
  if (const std::int64_t skipped = task_.loader().skipped(); skipped > 0)
    facts.emplace_back("Pictures that could not be used", format_count(skipped));
  // With or without a slash at its end.
  const std::filesystem::path folder = (std::filesystem::path(config_.output) / "").parent_path();
  write_report(config_.output, "fovea: " + folder.filename().string(), facts, task_.examples());
}

void Trainer::Window::add(const StepResult& result) {
  loss.add(result.loss.total.item());
  grad_norm.add(result.grad_norm);
  parts.resize(result.loss.parts.size());
  for (std::size_t p = 0; p < parts.size(); ++p) parts[p].add(result.loss.parts[p].second);
}

void Trainer::log_step(std::int64_t step, double epoch, const StepResult& result, const Window& window) {
  Figures figures{{"epoch", epoch}, {"loss", window.loss.value()}};
  for (std::size_t p = 0; p < window.parts.size(); ++p)
    figures.emplace_back(result.loss.parts[p].first, window.parts[p].value());
  for (const auto& figure : task_.figures()) figures.push_back(figure);
  figures.insert(figures.end(), {{"lr", result.lr},
                                 {"grad_norm", window.grad_norm.value()},
                                 {"pairs_per_s", window.timer.pairs_per_second()},
                                 {"data_wait_ms", window.timer.data_wait_ms()},
                                 {"step_ms", window.timer.step_ms()}});
  log_.write_training(step, figures);
}

void Trainer::train(std::int64_t total, std::int64_t per_epoch) {
  const std::int64_t between_evaluations = config_.eval.every_epochs * per_epoch;
  Progress progress(total);
  Window window;
  for (std::int64_t i = 1; i <= total; ++i) {
    const double asked = monotonic_seconds();
    const data::Batch batch = task_.loader().next();
    const double received = monotonic_seconds();
    const StepResult result = step(batch);
    window.timer.add(batch.size(), received - asked, monotonic_seconds() - received);
    window.add(result);
    progress.update(i, window.loss.value(), window.timer.pairs_per_second());
    if (i % config_.train.log_every == 0 || i == total) {
      log_step(i, static_cast<double>(i) / static_cast<double>(per_epoch), result, window);
      window = {};
    }
    if (between_evaluations > 0 && i % between_evaluations == 0 && i < total) {
      progress.clear();
      evaluate(i);
    }
  }
}

void Trainer::run() {
  if (config_.train.threads > 0) set_num_threads(static_cast<int>(config_.train.threads));
  const std::int64_t total = plan_steps(), per_epoch = task_.loader().batches_per_epoch();
  schedule_ = {config_.optim.lr, config_.schedule.warmup(total), total};
  task_.loader().restart(0, 0);
  log::info(total, " steps of ", config_.data.batch_size, " pairs, ", static_cast<double>(10 * total / per_epoch) / 10,
            " epochs");
  const double start = monotonic_seconds();
  train(total, per_epoch);
  const double seconds = monotonic_seconds() - start;
  save_model();
  evaluate(total);
  report(seconds);
}

}  // namespace fovea::train
