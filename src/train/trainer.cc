#include "fovea/train/trainer.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <set>

#include "fovea/autograd/anomaly.h"
#include "fovea/autograd/backward.h"
#include "fovea/autograd/gradient_watch.h"
#include "fovea/autograd/saved.h"
#include "fovea/core/allocator.h"
#include "fovea/core/cpu.h"
#include "fovea/core/log.h"
#include "fovea/core/parallel.h"
#include "fovea/core/profile.h"
#include "fovea/io/file.h"
#include "fovea/nn/parameter_file.h"
#include "fovea/ops/elementwise.h"
#include "fovea/tensor/factory.h"
#include "fovea/train/stop_signal.h"
#include "train/anomaly_samples.h"

namespace fovea::train {
namespace {

namespace fs = std::filesystem;

constexpr int warm_steps = 2, timed_steps = 6;  // of the speed measurement
constexpr double planned_share = 0.97;          // of the minutes; the rest absorbs slower stretches

std::string metrics_path(const Config& config) { return config.output + "/metrics.jsonl"; }
std::string config_path(const Config& config) { return config.output + "/config.json"; }

void make_run_folder(const std::string& folder) {
  FOVEA_CHECK(!folder.empty(), "[train] output is empty, expected the run folder's name");
  std::error_code error;
  fs::create_directories(folder, error);
  FOVEA_CHECK(!error, "[train] cannot create the run folder ", folder, ": ", error.message());
}

void refuse_old_run(const Config& config) {
  std::error_code error;
  // An empty log is what a start that failed leaves behind.
  const std::string metrics = metrics_path(config);
  const bool holds_run = (fs::exists(metrics, error) && !fs::is_empty(metrics, error)) ||
                         fs::exists(config.output + "/checkpoints/last", error);
  FOVEA_CHECK(!holds_run, "[train] ", config.output,
              " already holds a run\nhint: --resume latest continues it; or choose another output, or move the old run "
              "away");
}

// Keys that may change when a run goes on: they change neither its weights nor its metrics.
bool is_free(const std::string& key) {
  static const std::set<std::string> free{"output",
                                          "data.workers",
                                          "data.cache_bytes",
                                          "train.threads",
                                          "train.max_memory",
                                          "train.checkpointing",
                                          "train.save_minutes",
                                          "train.save_steps",
                                          "train.save_epochs",
                                          "train.keep_checkpoints",
                                          "train.max_bad_steps",
                                          "train.detect_anomaly",
                                          "train.profile",
                                          "eval.batch_size"};
  return free.contains(key);
}

void refuse_another_run(const Config& saved, const Config& wanted) {
  for (const std::string& key : different_keys(saved, wanted)) {
    FOVEA_CHECK(is_free(key), "[train] ", key, " is ", config_value(wanted, key), ", the run in ", wanted.output,
                " was started with ", config_value(saved, key),
                "\nhint: a resumed run keeps its configuration; to go on differently, start a new run whose model is ",
                wanted.output, "/model");
  }
}

optim::ScheduleKind schedule_kind(const std::string& name) {
  if (name == "const") return optim::ScheduleKind::constant;
  if (name == "linear") return optim::ScheduleKind::linear;
  return name == "const-cooldown" ? optim::ScheduleKind::constant_cooldown : optim::ScheduleKind::cosine;
}

// The values of all buffers: a step that does not count must not move BatchNorm's statistics.
class BufferSnapshot {
 public:
  explicit BufferSnapshot(const std::vector<nn::ParamEntry>& entries) {
    for (const nn::ParamEntry& entry : entries) {
      if (entry.leaf->is_buffer()) saved_.emplace_back(entry.leaf, entry.leaf->value.clone());
    }
  }
  void restore() {
    for (auto& [leaf, value] : saved_) leaf->value.copy_from(value);
  }

 private:
  std::vector<std::pair<std::shared_ptr<nn::ParamLeaf>, Tensor>> saved_;
};

double rounded(double value, int digits) {
  const double scale = std::pow(10, digits);
  return std::round(scale * value) / scale;
}

}  // namespace

optim::Optimizer make_optimizer(const OptimConfig& c) {
  const bool big_vision = c.decay_rule == "big_vision";
  FOVEA_CHECK(!big_vision || c.name == "adamw" || c.name == "adafactor",
              "[train] optim.decay_rule is big_vision, which belongs to adamw and adafactor, optim.name is ", c.name);
  // The optimisers multiply the decay by the current learning rate: over the highest one, the schedule's factor
  // remains.
  const double decay = big_vision ? c.weight_decay / c.lr : c.weight_decay;
  if (c.name == "sgd") return {optim::Sgd{c.momentum, decay, c.nesterov}};
  if (c.name == "lamb") return {optim::Lamb{c.betas[0], c.betas[1], c.eps, decay}};
  if (c.name == "adafactor") return {optim::Adafactor{.momentum = c.momentum, .weight_decay = decay}};
  return {optim::AdamW{c.betas[0], c.betas[1], c.eps, decay}};
}

DType training_dtype(const TrainConfig& config) { return config.precision == "f64" ? DType::f64 : DType::f32; }

bool saves_in_bf16(const TrainConfig& config) { return config.precision == "bf16" || config.precision == "amp_bf16"; }

nn::Ctx training_context(const TrainConfig& config, std::int64_t step) {
  nn::Ctx ctx;
  ctx.rng = RngKey{config.seed}.derive("dropout").derive(static_cast<std::uint64_t>(step));
  ctx.training = true;
  ctx.frozen_statistics = config.freeze_statistics;
  ctx.virtual_batch = config.virtual_batch;
  ctx.checkpointing = config.checkpointing;
  return ctx;
}

Task::~Task() = default;

double Task::expected_first_loss(std::int64_t) const { return std::numeric_limits<double>::quiet_NaN(); }

objectives::Loss Task::backward(std::span<const data::Batch> micro_batches, const nn::Ctx& ctx) {
  const double share = 1.0 / static_cast<double>(micro_batches.size());
  objectives::Loss mean;
  double total = 0;
  for (const data::Batch& batch : micro_batches) {
    objectives::Loss loss = this->loss(batch, ctx);
    const bool last = &batch == &micro_batches.back();
    const Var part = micro_batches.size() == 1 ? loss.total : ops::mul(loss.total, share);
    last ? last_backward(part) : fovea::backward(part);
    total += share * loss.total.item();
    mean.parts.resize(loss.parts.size());
    for (std::size_t p = 0; p < loss.parts.size(); ++p) {
      mean.parts[p].first = loss.parts[p].first;
      mean.parts[p].second += share * loss.parts[p].second;
    }
  }
  mean.total = full({}, total, DType::f64);
  return mean;
}

Trainer::Trainer(Task& task, const Config& config, std::optional<std::string> resume_from)
    : task_(task),
      group_(task.group()),
      config_(task.resolved(config)),
      store_(task.parameters()),
      optimizer_(make_optimizer(config.optim)),
      checkpoints_(config.output + "/checkpoints"),
      parameter_names_(nn::parameter_names(task.parameters())),
      steps_per_epoch_(task.loader().batches_per_epoch() / config.train.accum_freq) {
  FOVEA_CHECK(steps_per_epoch_ >= 1, "[train] train.accum_freq is ", config.train.accum_freq, ", but an epoch has ",
              task.loader().batches_per_epoch(), " batches");
  const OptimConfig& optim = config_.optim;
  if (optim.ema_decay > 0) ema_.emplace(store_, task.parameters(), optim.ema_decay, optim.ema_warmup);
  refuse_different_ranks();
  group_.on_one([&] { open_run_folder(resume_from); });
  if (group_.size() == 1) return;
  share_start();
  exchange_.emplace(store_, group_);
}

// Keys that may differ between ranks: those of a machine.
void Trainer::refuse_different_ranks() const {
  if (group_.size() == 1) return;
  static const std::set<std::string> local{"data.workers", "data.cache_bytes", "train.threads"};
  const Config first = parse_config(group_.broadcast(dump_config(config_)), "rank 0");
  std::string problem;
  for (const std::string& key : different_keys(first, config_)) {
    if (local.contains(key)) continue;
    problem = concat("[train] ", key, " is ", config_value(config_, key), " on ", group_.name(group_.rank()), ", ",
                     config_value(first, key), " on ", group_.name(0),
                     "\nhint: start all ranks with the same command and configuration");
    break;
  }
  group_.fail_together(problem);
  std::int64_t samples = task_.loader().size();
  group_.broadcast(&samples, sizeof samples);
  const std::int64_t own = task_.loader().size();
  group_.fail_together(own == samples ? ""
                                      : concat("[train] split \"", config_.data.train_split, "\" of ",
                                               config_.data.path, " has ", own, " samples on ",
                                               group_.name(group_.rank()), ", ", samples, " on ", group_.name(0)));
}

void Trainer::open_run_folder(const std::optional<std::string>& resume_from) {
  make_run_folder(config_.output);
  std::error_code unknown;
  if (resume_from) {
    if (fs::exists(config_path(config_), unknown)) refuse_another_run(load_config(config_path(config_)), config_);
    resume(*resume_from);
  } else {
    refuse_old_run(config_);
  }
  log_.emplace(metrics_path(config_));
  if (!planned_) io::write_file(config_path(config_), dump_config(config_));
}

// Gives every rank where rank 0 stands: a new model's weights, or a checkpoint.
void Trainer::share_start() {
  const auto share = [this](Tensor x) { group_.broadcast(x.mutable_raw(), x.bytes()); };
  std::int64_t numbers[]{
      state_.step, state_.skipped_steps,      state_.bad_in_a_row, optimizer_.steps(), schedule_.total,
      planned_,    std::ssize(store_.roles())};
  group_.broadcast(numbers, sizeof numbers);
  state_.step = numbers[0], state_.skipped_steps = numbers[1], state_.bad_in_a_row = numbers[2];
  optimizer_.set_steps(numbers[3]);
  planned_ = numbers[5] != 0;
  if (planned_) make_schedule(numbers[4]);
  std::vector<std::string> roles;
  for (const auto& [role, block] : store_.roles()) roles.push_back(role);
  roles.resize(static_cast<std::size_t>(numbers[6]));
  for (std::string& role : roles) {
    role = group_.broadcast(role);
    share(store_.role(role));
  }
  share(store_.weights());
  store_.weights_changed();
  for (const nn::ParamEntry& entry : task_.parameters()) {
    if (store_.view(store_.weights(), entry).defined()) continue;
    share(entry.value());
    if (const Tensor average = ema_ ? ema_->average(entry) : Tensor(); average.defined()) share(average);
  }
}

// Nothing of the run folder changes before the checkpoint was read and fits.
void Trainer::resume(const std::string& from) {
  if (from == "latest") {
    const std::optional<Checkpoint> checkpoint = checkpoints_.load_last();
    if (checkpoint) {
      restore(*checkpoint);
    } else {
      log::warning(config_.output, " has no checkpoint yet: the run starts from its beginning");
    }
  } else {
    std::error_code error;
    FOVEA_CHECK(fs::equivalent(run_folder_of(from), config_.output, error), "[train] checkpoint ", from,
                " is not one of the run in ", config_.output,
                "\nhint: to start a new run from its weights, give that run's model folder as model");
    restore(Checkpoints::load(from));
    checkpoints_.set_last(state_.step);
  }
  drop_lines_after(metrics_path(config_), state_.step);
}

void Trainer::restore(const Checkpoint& checkpoint) {
  state_ = checkpoint.state;
  FOVEA_CHECK(state_.samples == task_.loader().size(), "[train] split \"", config_.data.train_split, "\" of ",
              config_.data.path, " has ", task_.loader().size(), " samples, the run was started with ", state_.samples);
  nn::load_parameters(checkpoint.folder + "/model.safetensors", task_.parameters());
  std::set<std::string> roles;
  for (const auto& [name, tensor] : checkpoint.optimizer) roles.insert(name.substr(0, name.find('.')));
  const auto stored = [&](const std::string& role, const nn::ParamEntry& entry) {
    const auto found = checkpoint.optimizer.find(role + "." + entry.path);
    FOVEA_CHECK(found != checkpoint.optimizer.end(), "[train] ", checkpoint.folder, "/state.safetensors has no ", role,
                ".", entry.path);
    return store_.is_reduced(role) ? found->second : nn::from_file_layout(entry, found->second);
  };
  optimizer_.prepare(store_);
  for (const std::string& role : roles) {
    if (!store_.is_reduced(role)) store_.role(role);
    for (const nn::ParamEntry& entry : task_.parameters()) {
      Tensor place = role == "ema" && ema_ ? ema_->average(entry) : store_.role_view(role, entry);
      if (place.defined()) place.copy_from(stored(role, entry));
    }
  }
  optimizer_.set_steps(state_.optimizer_steps);
  window_ = Window::from_numbers(state_.meters);
  saved_step_ = state_.step;
  make_schedule(state_.total_steps);
  planned_ = true;
  log::info("going on from ", checkpoint.folder);
}

io::TensorMap Trainer::optimizer_tensors() const {
  io::TensorMap tensors;
  for (const auto& [role, block] : store_.roles()) {
    for (const nn::ParamEntry& entry : task_.parameters()) {
      const Tensor part = role == "ema" ? ema_->average(entry) : store_.role_view(role, entry);
      if (!part.defined()) continue;
      tensors.emplace(role + "." + entry.path, store_.is_reduced(role) ? part : nn::to_file_layout(entry, part));
    }
  }
  return tensors;
}

void Trainer::write_checkpoint() {
  const profile::Span span("save checkpoint", true);
  const double start = monotonic_seconds();
  log_->flush_to_disk();
  TrainState state = state_;
  state.total_steps = schedule_.total;
  state.optimizer_steps = optimizer_.steps();
  state.epoch = state_.step / steps_per_epoch_;
  state.batch = state_.step % steps_per_epoch_ * config_.train.accum_freq;
  state.samples = task_.loader().size();
  const data::StreamPosition stream = task_.loader().position();
  state.stream = {stream.shard, stream.sample, stream.delivered};
  state.meters = window_.numbers();
  checkpoints_.save(state, task_.parameters(), optimizer_tensors(), config_.train.keep_checkpoints);
  saved_step_ = state_.step;
  saved_at_ = monotonic_seconds();
  state_.saving_seconds += saved_at_ - start;
}

bool Trainer::try_to_write_checkpoint() {
  try {
    write_checkpoint();
    return true;
  } catch (const Error& error) {
    saved_at_ = monotonic_seconds();  // the next attempt comes at its time
    log::warning("no checkpoint of step ", state_.step, " could be saved; ",
                 saved_step_ >= 0 ? concat("that of step ", saved_step_, " is still there, ") : "",
                 "training goes on\n", error.what());
    return false;
  }
}

void Trainer::describe() {
  std::string facts;
  for (const auto& [label, value] : task_.facts()) facts += concat("; ", label, " ", value);
  log::info(cpu::to_string(cpu::active_isa()), ", ", num_threads(), num_threads() == 1 ? " thread" : " threads", ", ",
            config_.train.precision, facts);
  const std::int64_t trained = nn::count_parameters(task_.parameters());
  std::int64_t all = 0;
  for (const nn::ParamEntry& entry : task_.parameters()) all += entry.leaf->is_buffer() ? 0 : entry.value().numel();
  if (group_.size() > 1)
    log::info(group_.size(), " ranks, each with ", config_.data.batch_size / group_.size(), " of ",
              config_.data.batch_size, " pairs of a batch");
  if (trained != all) log::info(format_count(trained), " of ", format_count(all), " parameters are trained");
}

double Trainer::measure_step_seconds() {
  BufferSnapshot statistics(task_.parameters());
  go_to_step(0);
  double start = 0;
  for (int i = 0; i < warm_steps + timed_steps; ++i) {
    if (i == warm_steps) start = monotonic_seconds();
    StepResult trial;
    backward_pass(next_batches(), trial);
  }
  statistics.restore();
  return (monotonic_seconds() - start) / timed_steps;
}

void Trainer::plan() {
  const TrainConfig& c = config_.train;
  if (c.minutes <= 0) return make_schedule(c.epochs * steps_per_epoch_);
  const double start = monotonic_seconds();
  const double seconds = measure_step_seconds();
  const double left = planned_share * 60 * c.minutes - (monotonic_seconds() - start);
  const auto steps = static_cast<std::int64_t>(left / seconds);
  const std::int64_t epochs = steps / steps_per_epoch_;
  std::int64_t total = std::max<std::int64_t>(1, epochs >= 2 ? epochs * steps_per_epoch_ : steps);
  group_.broadcast(&total, sizeof total);
  make_schedule(total);
}

void Trainer::make_schedule(std::int64_t total) {
  const ScheduleConfig& c = config_.schedule;
  const auto cooldown = static_cast<std::int64_t>(c.cooldown_epochs * static_cast<double>(steps_per_epoch_) + 0.5);
  FOVEA_CHECK(cooldown <= total, "[train] schedule.cooldown_epochs is ", c.cooldown_epochs, ", the whole run has ",
              static_cast<double>(total) / static_cast<double>(steps_per_epoch_), " epochs");
  schedule_ = {schedule_kind(c.kind), config_.optim.lr, c.warmup(total), total, cooldown,
               c.cooldown_end,        c.cooldown_power};
}

// Behind the step before, whose epoch may have batches left over: a stream stands before those.
void Trainer::go_to_step(std::int64_t step) {
  const std::int64_t epoch = std::max<std::int64_t>(step - 1, 0) / steps_per_epoch_;
  data::StreamPosition stream;
  if (step > 0 && state_.stream.size() == 3) stream = {state_.stream[0], state_.stream[1], state_.stream[2]};
  task_.loader().restart(epoch, (step - epoch * steps_per_epoch_) * config_.train.accum_freq, stream);
}

// Those of one step. Batches at the end of an epoch that do not fill a step are left out.
std::vector<data::Batch> Trainer::next_batches() {
  const profile::Span span("data wait");
  const std::int64_t used = steps_per_epoch_ * config_.train.accum_freq;
  std::vector<data::Batch> batches;
  while (static_cast<std::int64_t>(batches.size()) < config_.train.accum_freq) {
    data::Batch batch = task_.loader().next();
    if (batch.index < used) batches.push_back(std::move(batch));
  }
  return batches;
}

// Leaves the gradients in the store and returns their norm.
double Trainer::backward_pass(std::span<const data::Batch> batches, StepResult& result) {
  store_.clear_gradients();
  const SaveInBf16 rounding(saves_in_bf16(config_.train));
  nn::Ctx ctx = training_context(config_.train, state_.step);
  if (exchange_) ctx.group = &group_;
  {
    const WatchGradients watch(exchange_ ? &*exchange_ : nullptr);
    result.loss = task_.backward(batches, ctx);
  }
  if (exchange_) {
    exchange_->finish();
    share_result(result);
  }
  store_.complete_gradients();
  return optim::gradient_norm(store_);
}

// Losses become means over the ranks, and a wish to stop everybody's: what follows is decided alike on all ranks.
void Trainer::share_result(StepResult& result) {
  std::vector<double> numbers{stop_requested() ? 1.0 : 0.0, result.loss.total.item()};
  for (const auto& [name, value] : result.loss.parts) numbers.push_back(value);
  Tensor sums = from_values<double>({std::ssize(numbers)}, numbers);
  group_.sum(sums);
  stop_agreed_ = sums.at(0) > 0;
  result.loss.total = full({}, sums.at(1) / group_.size(), DType::f64);
  for (std::size_t p = 0; p < result.loss.parts.size(); ++p)
    result.loss.parts[p].second = sums.at(static_cast<std::int64_t>(p) + 2) / group_.size();
}

Trainer::StepResult Trainer::step(std::span<const data::Batch> batches) {
  const profile::Span span("step");
  StepResult result;
  BufferSnapshot statistics(task_.parameters());
  try {
    std::optional<DetectAnomaly> checks;
    if (config_.train.detect_anomaly) checks.emplace(parameter_names_);
    result.grad_norm = backward_pass(batches, result);
  } catch (const AnomalyError& error) {
    fail(error.what(), "\nat step ", state_.step + 1, ", ",
         samples_of(error.anomaly(), batches, task_, training_context(config_.train, state_.step)));
  }
  result.lr = schedule_(state_.step);
  result.finite = std::isfinite(result.loss.total.item()) && std::isfinite(result.grad_norm);
  ++state_.step;
  if (result.finite) {
    update_weights(result);
  } else {
    statistics.restore();
    note_bad_step(result);
  }
  return result;
}

void Trainer::update_weights(StepResult& result) {
  optimizer_.step(store_, result.lr, optim::clip_factor(result.grad_norm, config_.train.grad_clip_norm));
  task_.after_step();
  if (ema_) ema_->update(optimizer_.steps());
  state_.bad_in_a_row = 0;
}

void Trainer::note_bad_step(const StepResult& result) {
  constexpr std::int64_t named = 10;
  ++state_.skipped_steps;
  ++state_.bad_in_a_row;
  const std::string what = concat("the loss is ", result.loss.total.item(), " and the gradient's norm ",
                                  result.grad_norm, " at step ", state_.step);
  FOVEA_CHECK(state_.bad_in_a_row < config_.train.max_bad_steps, "[train] ", what, ", step ", state_.bad_in_a_row,
              " in a row that is not finite\nhint: lower optim.lr, lengthen the warm-up, or set train.grad_clip_norm; ",
              "--resume latest --detect-anomaly names the operation that gives the first such number");
  if (!leads()) return;
  if (state_.skipped_steps <= named) log::warning(what, ": the step is skipped");
  if (state_.skipped_steps == named) log::warning("further skipped steps are counted in metrics.jsonl only");
}

// Evaluates all splits; false when a stop was requested before it was over, and nothing is logged then.
bool Trainer::evaluate() {
  const profile::Span span("evaluate", true);
  const double start = monotonic_seconds();
  const optim::EmaScope averages(ema_ ? &*ema_ : nullptr);
  std::vector<SplitScores> scores;
  for (const std::string& split : config_.eval.splits) {
    if (stop_requested()) return false;
    scores.push_back(task_.evaluate(split));
  }
  if (scores.empty()) return true;
  log_->write_evaluation(state_.step, scores);
  const double seconds = monotonic_seconds() - start;
  state_.evaluation_seconds += seconds;
  log::info("step ", state_.step, ": ", scores.size(), scores.size() == 1 ? " split" : " splits", " scored in ",
            format_duration(seconds));
  for (const SplitScores& s : scores) {
    log::info("  ", s.split, s.split == config_.data.train_split ? " (trained on)" : "", ": R@1 image to text ",
              rounded(s.i2t.r1, 1), " %, text to image ", rounded(s.t2i.r1, 1), " %");
  }
  return true;
}

void Trainer::save_model() {
  const profile::Span span("save model", true);
  const optim::EmaScope averages(ema_ ? &*ema_ : nullptr);
  task_.save(config_.output + "/model");
}

void Trainer::report(std::int64_t skipped) const {
  Facts facts = task_.facts();
  facts.emplace_back("Steps", format_count(schedule_.total));
  if (state_.skipped_steps > 0) facts.emplace_back("Steps skipped", format_count(state_.skipped_steps));
  facts.emplace_back("Batch size", format_count(config_.data.batch_size * config_.train.accum_freq));
  facts.emplace_back("Training time", format_duration(state_.training_seconds));
  if (state_.evaluation_seconds > 0) facts.emplace_back("Evaluation time", format_duration(state_.evaluation_seconds));
  if (group_.size() > 1) facts.emplace_back("Ranks", format_count(group_.size()));
  if (skipped > 0) facts.emplace_back("Pictures that could not be used", format_count(skipped));
  // With or without a slash at its end.
  const fs::path folder = (fs::path(config_.output) / "").parent_path();
  write_report(config_.output, "fovea: " + folder.filename().string(), facts, task_.examples());
}

void Trainer::Window::add(const StepResult& result) {
  if (!result.finite) return;
  loss.add(result.loss.total.item());
  grad_norm.add(result.grad_norm);
  parts.resize(result.loss.parts.size());
  for (std::size_t p = 0; p < parts.size(); ++p) parts[p].add(result.loss.parts[p].second);
}

std::vector<double> Trainer::Window::numbers() const {
  const std::array<double, 4> times = timer.numbers();
  std::vector<double> all(times.begin(), times.end());
  const auto put = [&](const Average& average) { all.insert(all.end(), {average.sum(), average.weight()}); };
  put(loss);
  put(grad_norm);
  for (const Average& part : parts) put(part);
  return all;
}

Trainer::Window Trainer::Window::from_numbers(const std::vector<double>& numbers) {
  constexpr std::size_t fixed = 8;
  Window window;
  if (numbers.size() < fixed) return window;
  window.timer = StepTimer::from_numbers({numbers[0], numbers[1], numbers[2], numbers[3]});
  window.loss = {numbers[4], numbers[5]};
  window.grad_norm = {numbers[6], numbers[7]};
  for (std::size_t i = fixed; i + 1 < numbers.size(); i += 2) window.parts.push_back({numbers[i], numbers[i + 1]});
  return window;
}

void Trainer::log_step(const StepResult& result) {
  // Without a step that counted, the means are not numbers (null in the file).
  const auto mean = [](const Average& a) { return a.weight() > 0 ? a.value() : std::nan(""); };
  const double epoch = static_cast<double>(state_.step) / static_cast<double>(steps_per_epoch_);
  Figures figures{{"epoch", epoch}, {"loss", mean(window_.loss)}};
  for (std::size_t p = 0; p < window_.parts.size(); ++p)
    figures.emplace_back(result.loss.parts[p].first, mean(window_.parts[p]));
  for (const auto& figure : task_.figures()) figures.push_back(figure);
  figures.insert(figures.end(), {{"lr", result.lr},
                                 {"grad_norm", mean(window_.grad_norm)},
                                 {"pairs_per_s", window_.timer.pairs_per_second()},
                                 {"data_wait_ms", window_.timer.data_wait_ms()},
                                 {"step_ms", window_.timer.step_ms()}});
  const allocator::Stats memory = allocator::stats();
  constexpr double mb = 1 << 20;
  figures.emplace_back("live_mb", rounded(static_cast<double>(memory.live_bytes) / mb, 2));
  figures.emplace_back("peak_mb", rounded(static_cast<double>(memory.peak_bytes) / mb, 2));
  allocator::reset_peak();
  if (state_.skipped_steps > 0) figures.emplace_back("skipped_steps", static_cast<double>(state_.skipped_steps));
  log_->write_training(state_.step, figures);
}

void Trainer::check_first_loss(const StepResult& result, std::int64_t samples) const {
  const double expected = task_.expected_first_loss(samples), loss = result.loss.total.item();
  if (std::isnan(expected) || !result.finite) return;
  log::info("first loss ", rounded(loss, 4), "; an untrained model's is near ", rounded(expected, 4));
  // Fresh towers give all pairs about one cosine, which need not be 0: the sigmoid loss feels that.
  const double low = 0.5 * expected, high = expected + std::max(4.0, 2 * expected);
  if (loss < low || loss > high) {
    log::warning(
        "the first loss is far from that of an untrained model: data, normalisation or temperature may be "
        "wrong");
  }
}

void Trainer::timed_step(Progress* progress) {
  const double asked = monotonic_seconds();
  const std::vector<data::Batch> batches = next_batches();
  const double received = monotonic_seconds();
  const StepResult result = step(batches);
  const double done = monotonic_seconds();
  if (!leads()) return;
  std::int64_t samples = 0;
  for (const data::Batch& batch : batches) samples += batch.size() * group_.size();
  if (state_.step == 1) check_first_loss(result, samples);
  window_.timer.add(samples, received - asked, done - received);
  window_.add(result);
  state_.training_seconds += done - asked;
  const StepTimer& timer = window_.timer;
  const double loss = window_.loss.weight() > 0 ? window_.loss.value() : std::nan("");
  progress->update({state_.step, 0, loss, timer.pairs_per_second(), timer.data_wait_ms(), timer.step_ms(), 0});
  if (state_.step % config_.train.log_every == 0 || state_.step == schedule_.total) {
    log_step(result);
    window_ = {};
  }
}

bool Trainer::checkpoint_is_due() const {
  const TrainConfig& c = config_.train;
  const auto every = [this](std::int64_t steps) { return steps > 0 && state_.step % steps == 0; };
  return every(c.save_steps) || every(c.save_epochs * steps_per_epoch_) || state_.step == schedule_.total ||
         (c.save_minutes > 0 && monotonic_seconds() - saved_at_ >= 60 * c.save_minutes);
}

bool Trainer::evaluation_is_due() const {
  const std::int64_t between = config_.eval.every_epochs * steps_per_epoch_;
  return between > 0 && state_.step > 0 && state_.step % between == 0 && state_.step < schedule_.total;
}

// Checkpoints come before the evaluation of the same step: a run that goes on from one evaluates first. False when a
// stop was requested.
bool Trainer::train() {
  if (!leads()) {
    while (state_.step < schedule_.total && !stops()) timed_step(nullptr);
    return !stops();
  }
  Progress progress(schedule_.total);
  const auto aside = [&](auto&& action) {
    progress.clear();
    const double start = monotonic_seconds();
    action();
    progress.exclude(monotonic_seconds() - start);
  };
  profile_begin_ = std::max(state_.step, std::min(state_.step + warm_steps, schedule_.total - 1));
  if (planned_ && evaluation_is_due()) aside([&] { evaluate(); });
  while (state_.step < schedule_.total && !stops()) {
    if (config_.train.profile > 0 && state_.step == profile_begin_) start_profile();
    timed_step(&progress);
    if (checkpoint_is_due()) aside([&] { try_to_write_checkpoint(); });
    if (evaluation_is_due()) aside([&] { evaluate(); });
    if (profile_is_over()) aside([&] { finish_profile(); });
  }
  progress.finish();
  return !stops();
}

void Trainer::start_profile() {
  profiler_.emplace(nn::module_names(task_.parameters()));
  profile_end_ = profile_begin_ + config_.train.profile;
}

void Trainer::finish_profile() {
  if (!profiler_) return;
  const std::string trace = config_.output + "/trace.json", tables = config_.output + "/profile.txt";
  io::write_file(trace, profiler_->trace_json());
  const std::string report = profiler_->report(kernels::measure_roofline(), state_.step - profile_begin_);
  profiler_.reset();
  io::write_file(tables, report);
  log::info(report, "the profile is in ", tables, ", the trace in ", trace);
}

// The model, its scores and the report; false when a stop was requested before they were complete.
bool Trainer::finish() {
  Tensor skipped = full({1}, static_cast<double>(task_.loader().skipped()), DType::i64);
  group_.sum(skipped);
  bool complete = false;
  group_.on_one([&] {
    save_model();
    if (!evaluate()) return;
    report(static_cast<std::int64_t>(skipped.item()));
    finish_profile();  // a run that ends before all its steps are done
    log::info("the model is in ", config_.output, "/model, the report ", config_.output, "/report.html");
    complete = true;
  });
  group_.broadcast(&complete, sizeof complete);
  return complete;
}

bool Trainer::run() {
  if (config_.train.threads > 0) set_num_threads(static_cast<int>(config_.train.threads));
  describe();
  saved_at_ = monotonic_seconds();
  if (!planned_) {
    plan();
    group_.on_one([&] { write_checkpoint(); });  // the plan, and whether checkpoints can be written at all
  }
  go_to_step(state_.step);
  log::info(schedule_.total, " steps of ", config_.data.batch_size * config_.train.accum_freq, " pairs, ",
            static_cast<double>(10 * schedule_.total / steps_per_epoch_) / 10, " epochs",
            state_.step > 0 ? concat("; ", state_.step, " are done") : "");
  if (train() && finish()) return true;
  group_.on_one([&] {
    if (saved_step_ != state_.step) write_checkpoint();
  });
  finish_profile();
  log::info("stopped after step ", state_.step, " of ", schedule_.total, "; a checkpoint is saved in ", config_.output);
  return false;
}

}  // namespace fovea::train
