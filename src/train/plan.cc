#include "fovea/train/plan.h"

#include <malloc.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <numeric>
#include <optional>

#include "fovea/autograd/backward.h"
#include "fovea/autograd/no_grad.h"
#include "fovea/autograd/saved.h"
#include "fovea/core/allocator.h"
#include "fovea/core/parallel.h"
#include "fovea/models/clip_folder.h"
#include "fovea/models/presets.h"
#include "fovea/objectives/info_nce.h"
#include "fovea/ops/elementwise.h"
#include "fovea/ops/reduce.h"
#include "fovea/tensor/factory.h"
#include "fovea/train/clip_task.h"
#include "fovea/train/meters.h"
#include "fovea/train/trainer.h"

namespace fovea::train {
namespace {

// What was freed and lies in the middle of the heap would be counted once more otherwise.
void release_free_memory() {
  allocator::release_cached();
#ifdef __GLIBC__
  ::malloc_trim(0);
#endif
}

// Exact, unlike the figure in /proc/self/statm, which the kernel may keep per processor.
double resident_bytes() {
  std::FILE* file = std::fopen("/proc/self/smaps_rollup", "re");
  FOVEA_CHECK(file != nullptr, "[plan] cannot read /proc/self/smaps_rollup: resident memory cannot be measured");
  double kilobytes = 0;
  for (char line[256]; std::fgets(line, sizeof line, file) != nullptr;) {
    if (std::sscanf(line, "Rss: %lf", &kilobytes) == 1) break;
  }
  std::fclose(file);
  return 1024 * kilobytes;
}

double resting_bytes() {
  release_free_memory();
  return resident_bytes();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Median seconds of three calls after one that is not counted.
template <class F>
double median_seconds(F&& f) {
  f();
  std::vector<double> times;
  for (int i = 0; i < 3; ++i) {
    const double start = monotonic_seconds();
    f();
    times.push_back(monotonic_seconds() - start);
  }
  return median(std::move(times));
}

// A quantity that grows with the pairs of a batch, known at two sizes.
struct Line {
  double first = 0, second = 0;  // sizes
  double at_first = 0, at_second = 0;

  double slope() const { return second > first ? (at_second - at_first) / (second - first) : at_second / second; }
  double fixed() const { return at_second - slope() * second; }
};

// A model that can take passes, with gradients that are written and never read.
class Trial {
 public:
  Trial(const Config& config, const PlanOptions& options)
      : options_(options), model_(model_config(config)), dtype_(training_dtype(config.train)) {
    nn::Init init = nn::Init::none(dtype_);
    if (options.image_tower_alone) {
      tower_.emplace(model_.image, init);
      entries_ = nn::collect(*tower_);
    } else {
      clip_.emplace(model_, init);
      entries_ = nn::collect(*clip_);
      freeze_as_configured(config.train, *clip_);
    }
    const std::int64_t context = models::TextTower::context(model_.text);
    length_ = options.caption_tokens > 0 ? options.caption_tokens : context;
    const auto* text = std::get_if<models::TextTransformerConfig>(&model_.text);
    if (text != nullptr && text->pad_token) length_ = context;
    FOVEA_CHECK(length_ >= 2 && length_ <= context, "[plan] captions of ", length_, " tokens, expected 2 to ", context);
    share_gradients();
  }

  const std::vector<nn::ParamEntry>& entries() const { return entries_; }
  std::int64_t embed() const { return model_.embed; }
  data::Batch batch(std::int64_t pairs) const { return random_batch(model_, pairs, length_, 1); }

  void pass(const data::Batch& batch, const nn::Ctx& ctx) const {
    for (const nn::ParamEntry& entry : entries_) {
      if (!entry.leaf->is_buffer()) entry.leaf->node->has_grad = false;
    }
    if (tower_) return backward(ops::mean(ops::square((*tower_)(batch.normalized_images(dtype_), ctx))));
    const Var loss = objectives::InfoNce()(clip_->embed(batch, ctx), ctx).total;
    if (loss.requires_grad()) backward(loss);
  }
  void encode(const data::Batch& batch, const nn::Ctx& ctx) const {
    const NoGrad no_tape;
    if (tower_) {
      (*tower_)(batch.normalized_images(dtype_), ctx);
    } else {
      clip_->embed(batch, ctx);
    }
  }

 private:
  // As a ParamStore does, but all in the place of the largest.
  void share_gradients() {
    std::int64_t largest = 1;
    for (const nn::ParamEntry& entry : entries_) largest = std::max(largest, entry.leaf->value.numel());
    shared_ = zeros({largest}, dtype_);
    for (const nn::ParamEntry& entry : entries_) {
      if (entry.leaf->is_buffer()) continue;
      entry.leaf->node->grad = shared_.segment(0, entry.leaf->value.shape());
      entry.leaf->node->grad_fixed = true;
    }
  }

  PlanOptions options_;
  models::ClipConfig model_;
  DType dtype_;
  std::optional<models::ClipModel> clip_;
  std::optional<models::ImageTower> tower_;
  std::vector<nn::ParamEntry> entries_;
  std::int64_t length_ = 0;
  Tensor shared_;
};

// What was measured, from which plans for any micro-batch follow.
class Measured {
 public:
  Measured(const Config& config, const PlanOptions& options)
      : config_(config),
        options_(options),
        process_bytes_(resting_bytes()),
        trial_(config, options),
        rounding_(saves_in_bf16(config.train)),
        pairs_(config.data.batch_size * config.train.accum_freq) {}

  Plan plan(std::int64_t accum_freq, bool checkpointing) {
    Plan plan;
    plan.accum_freq = accum_freq;
    plan.micro_batch = pairs_ / accum_freq;
    plan.checkpointing = checkpointing;
    plan.process_bytes = process_bytes_;
    count_parameters(plan);
    const Line& memory = memory_line(checkpointing);
    plan.pair_bytes = memory.slope();
    plan.fixed_bytes = std::max(0.0, memory.fixed());
    count_inputs(plan);
    if (accum_freq > 1) plan.loss_bytes = loss().bytes;
    if (options_.time) measure_time(plan);
    return plan;
  }

 private:
  struct LossCost {
    double bytes = 0, seconds = 0;
  };

  nn::Ctx context(bool checkpointing) const {
    TrainConfig train = config_.train;
    train.checkpointing = checkpointing;
    nn::Ctx ctx = training_context(train, 0);
    ctx.every_token = options_.every_token;
    return ctx;
  }

  void count_parameters(Plan& plan) const {
    double trained_bytes = 0;
    for (const nn::ParamEntry& entry : trial_.entries()) {
      const Tensor value = entry.value();
      plan.weight_bytes += static_cast<double>(value.bytes());
      if (entry.leaf->is_buffer()) continue;
      plan.parameters += value.numel();
      if (entry.leaf->frozen) continue;
      plan.trained += value.numel();
      trained_bytes += static_cast<double>(value.bytes());
    }
    plan.gradient_bytes = trained_bytes;
    plan.moment_bytes = (config_.optim.name == "sgd" ? 1 : 2) * trained_bytes;
    if (config_.optim.ema_decay > 0) plan.weight_bytes += trained_bytes;
  }

  // An eighth: tensors then fall into the allocator's classes as those of the whole do.
  std::int64_t small_size() const {
    return std::clamp<std::int64_t>(micro_batch() / 8, std::min<std::int64_t>(2, micro_batch()), micro_batch());
  }
  std::int64_t micro_batch() const { return pairs_ / config_.train.accum_freq; }

  const Line& memory_line(bool checkpointing) {
    std::optional<Line>& line = memory_[checkpointing];
    if (line) return *line;
    const std::int64_t second = small_size(), first = std::max<std::int64_t>(1, second / 2);
    pass_bytes(second, checkpointing);  // the program's own pages, and what the heap keeps, are there from now on
    line = Line{static_cast<double>(first), static_cast<double>(second), pass_bytes(first, checkpointing), 0};
    line->at_second = second > first ? pass_bytes(second, checkpointing) : line->at_first;
    return *line;
  }

  // Resident memory that passes over so many pairs leave: freed blocks stay in the allocator's cache.
  double pass_bytes(std::int64_t pairs, bool checkpointing) {
    const data::Batch batch = trial_.batch(pairs);
    const double before = resting_bytes();
    for (int i = 0; i < 2; ++i) trial_.pass(batch, context(checkpointing));
    const double after = resident_bytes();
    release_free_memory();
    return after - before;
  }

  void count_inputs(Plan& plan) {
    constexpr double prefetched = 5;  // a loader's batches made ahead, and one in the making
    const data::Batch one = trial_.batch(1);
    const double pair = static_cast<double>(one.images.bytes() + one.tokens.bytes());
    const auto pairs = static_cast<double>(plan.pairs()), micro = static_cast<double>(plan.micro_batch);
    plan.input_bytes = pair * (pairs + (options_.trainer ? prefetched * micro : 0));
  }

  // Of the features of all pairs at once, as the gradient cache computes it.
  const LossCost& loss() {
    if (loss_) return *loss_;
    loss_.emplace();
    if (options_.image_tower_alone) return *loss_;
    const double before = resting_bytes();
    const auto features = [&](std::uint64_t seed) {
      return Var(random_normal({pairs_, trial_.embed()}, RngKey{seed}, 0, 0.05), true);
    };
    const objectives::Embeddings all{features(1), features(2), Var(scalar(1.0), true)};
    loss_->seconds = median_seconds([&] { backward(objectives::InfoNce()(all, {}).total); });
    // The features of every micro-batch, besides those of all below each other.
    const double copies = 2 * static_cast<double>(all.image.value().bytes());
    loss_->bytes = resident_bytes() - before + copies;
    release_free_memory();
    return *loss_;
  }

  // In proportion to a quarter of a micro-batch. A line through two sizes would be no better: what does not grow with
  // the batch is little, larger tensors miss caches more often, and noise would be multiplied.
  void measure_time(Plan& plan) {
    const std::int64_t size = std::min(2 * small_size(), plan.micro_batch);
    const nn::Ctx ctx = context(plan.checkpointing);
    const data::Batch batch = trial_.batch(size);
    const double share = static_cast<double>(plan.pairs()) / static_cast<double>(size);
    plan.pass_seconds = share * median_seconds([&] { trial_.pass(batch, ctx); });
    if (plan.accum_freq > 1) {
      plan.pass_seconds += share * median_seconds([&] { trial_.encode(batch, ctx); }) + loss().seconds;
    }
    plan.optimizer_seconds = optimizer_seconds(plan.trained);
  }

  // Of a store of the same kind with fewer numbers, which no cache holds either.
  double optimizer_seconds(std::int64_t numbers) const {
    constexpr std::int64_t most = std::int64_t{1} << 23;
    const std::int64_t measured = std::min(numbers, most);
    if (measured == 0) return 0;
    const nn::Param parameter(zeros({measured}, training_dtype(config_.train)));
    optim::ParamStore store({{"weight", parameter.leaf(), 0, 0, false}});
    optim::Optimizer optimizer = make_optimizer(config_.optim);
    const double seconds = median_seconds([&] {
      store.complete_gradients();
      if (options_.trainer) optim::gradient_norm(store);
      optimizer.step(store, 1e-3);
    });
    return seconds * static_cast<double>(numbers) / static_cast<double>(measured);
  }

  Config config_;
  PlanOptions options_;
  double process_bytes_;
  Trial trial_;
  SaveInBf16 rounding_;
  std::int64_t pairs_;
  std::optional<Line> memory_[2];  // without and with checkpoints
  std::optional<LossCost> loss_;
};

std::string choice(const Plan& plan) {
  return concat(plan.accum_freq, plan.accum_freq == 1 ? " batch" : " micro-batches", " of ", plan.micro_batch,
                " pairs ", plan.checkpointing ? "with" : "without", " activation checkpoints");
}

// In the order in which they are tried.
std::vector<std::pair<std::int64_t, bool>> candidates(const Config& config) {
  constexpr std::int64_t efficient = 8;  // pairs
  const std::int64_t pairs = config.data.batch_size * config.train.accum_freq;
  const bool always = config.train.checkpointing;
  std::vector<std::pair<std::int64_t, bool>> tried{{config.train.accum_freq, always}};
  const auto add = [&](bool checkpointing, std::int64_t least, std::int64_t most) {
    if (always && !checkpointing) return;
    for (std::int64_t k = config.train.accum_freq; k <= pairs; ++k) {
      if (pairs % k == 0 && pairs / k >= least && pairs / k <= most) tried.emplace_back(k, checkpointing);
    }
  };
  tried.emplace_back(config.train.accum_freq, true);
  add(false, efficient, pairs);
  add(true, efficient, pairs);
  add(false, 1, efficient - 1);
  add(true, 1, efficient - 1);
  return tried;
}

void take_over(const Config& from, Config& to) {
  to.data.batch_size = from.data.batch_size;
  to.data.cache_bytes = from.data.cache_bytes;
  to.train.accum_freq = from.train.accum_freq;
  to.train.checkpointing = from.train.checkpointing;
  to.eval.batch_size = from.eval.batch_size;
}

Fitted fit_one_rank(const Config& config, const Config* started);

}  // namespace

Plan make_plan(const Config& config, const PlanOptions& options) {
  if (config.train.threads > 0) set_num_threads(static_cast<int>(config.train.threads));
  return Measured(config, options).plan(config.train.accum_freq, config.train.checkpointing);
}

Fitted fit_memory(const Config& config, const Config* started, dist::Group& group) {
  if (group.size() == 1) return fit_one_rank(config, started);
  FOVEA_CHECK(config.data.batch_size % group.size() == 0, "[plan] batches of ", config.data.batch_size,
              " cannot be shared evenly by ", group.size(),
              " ranks\nhint: choose a multiple of their number (data.batch_size)");
  const auto share = [&](Config c) {
    c.data.batch_size /= group.size();
    return c;
  };
  Fitted fitted{config, ""};
  group.on_one([&] {
    const Config before = share(started ? *started : config);
    Fitted chosen = fit_one_rank(share(config), started ? &before : nullptr);
    chosen.config.data.batch_size *= group.size();
    fitted = std::move(chosen);
  });
  take_over(parse_config(group.broadcast(dump_config(fitted.config)), "rank 0"), fitted.config);
  return fitted;
}

namespace {

Fitted fit_one_rank(const Config& config, const Config* started) {
  FOVEA_CHECK(!config.train.max_memory.empty(), "[plan] train.max_memory is empty, expected a size such as 12G");
  Fitted fitted{config, ""};
  if (started != nullptr && started->train.max_memory == config.train.max_memory &&
      started->data.batch_size * started->train.accum_freq == config.data.batch_size * config.train.accum_freq) {
    take_over(*started, fitted.config);
    fitted.explanation = "memory: as the run was started";
    return fitted;
  }
  constexpr double margin = 0.95;  // for what a plan does not see
  const auto limit = static_cast<double>(parse_bytes(config.train.max_memory));
  PlanOptions options;
  options.time = false;
  Measured measured(config, options);
  Plan first, smallest;
  for (const auto& [accum_freq, checkpointing] : candidates(config)) {
    const Plan plan = measured.plan(accum_freq, checkpointing);
    if (first.micro_batch == 0) first = smallest = plan;
    if (plan.peak_bytes() < smallest.peak_bytes()) smallest = plan;
    if (plan.peak_bytes() > margin * limit) continue;
    Config& chosen = fitted.config;
    chosen.data.batch_size = plan.micro_batch;
    chosen.train.accum_freq = accum_freq;
    chosen.train.checkpointing = checkpointing;
    chosen.eval.batch_size = std::min(chosen.eval.batch_size, plan.micro_batch);
    chosen.data.cache_bytes =
        std::min(chosen.data.cache_bytes, static_cast<std::int64_t>(margin * limit - plan.peak_bytes()));
    const bool same = plan.accum_freq == first.accum_freq && plan.checkpointing == first.checkpointing;
    fitted.explanation = concat(
        "memory: ", choice(plan), " will take about ", format_bytes(plan.peak_bytes()), " of ", config.train.max_memory,
        same ? std::string() : concat("; ", choice(first), " would take ", format_bytes(first.peak_bytes())));
    return fitted;
  }
  fail("[plan] train.max_memory is ", config.train.max_memory, ", but even ", choice(smallest), " will take about ",
       format_bytes(smallest.peak_bytes()), ": ",
       format_bytes(smallest.weight_bytes + smallest.gradient_bytes + smallest.moment_bytes),
       " for weights, gradients and moments, ", format_bytes(smallest.activation_bytes()),
       " for activations\nhint: a smaller model, frozen towers (--lock-image) or --opt sgd need less");
}

}  // namespace

data::Batch random_batch(const models::ClipConfig& model, std::int64_t pairs, std::int64_t length, std::uint64_t seed) {
  const std::int64_t side = models::ImageTower::image_size(model.image);
  const std::int64_t vocabulary = models::TextTower::vocabulary(model.text);
  data::Batch batch;
  batch.images = random_uniform({pairs, side, side, 3}, RngKey{seed}, 0, 255).to(DType::u8);
  batch.text = PackedLayout::uniform(pairs, length);
  batch.tokens = Tensor({pairs * length}, DType::i32);
  auto* token = batch.tokens.mutable_data<std::int32_t>();
  Rng rng(seed);
  for (std::int64_t i = 0; i < pairs * length; ++i) {
    const std::int64_t place = i % length;
    const auto word = 1 + static_cast<std::int64_t>(rng.uniform() * static_cast<double>(vocabulary - 3));
    token[i] = static_cast<std::int32_t>(place == 0 ? vocabulary - 2 : place == length - 1 ? vocabulary - 1 : word);
  }
  batch.sample_ids.resize(static_cast<std::size_t>(pairs));
  std::iota(batch.sample_ids.begin(), batch.sample_ids.end(), 0);
  return batch;
}

std::int64_t parse_bytes(const std::string& text) {
  double value = 0;
  char unit = 0, rest = 0;
  const int read = std::sscanf(text.c_str(), "%lf%c%c", &value, &unit, &rest);
  const char* units = "KMGT";
  const char* found = read == 2 ? std::strchr(units, std::toupper(static_cast<unsigned char>(unit))) : nullptr;
  FOVEA_CHECK((read == 1 || (found != nullptr && *found != '\0')) && value > 0 && value < 1e15, "[plan] \"", text,
              "\" is no size in memory, expected one such as 12G, 800M or 1000000");
  return static_cast<std::int64_t>(read == 1 ? value : std::ldexp(value, 10 * static_cast<int>(found - units + 1)));
}

std::string format_bytes(double bytes) {
  char text[32];
  constexpr double mb = 1 << 20, gb = 1 << 30;
  if (bytes < 10 * mb) {
    std::snprintf(text, sizeof text, "%.1f MB", bytes / mb);
  } else if (bytes < gb) {
    std::snprintf(text, sizeof text, "%.0f MB", bytes / mb);
  } else {
    std::snprintf(text, sizeof text, "%.2f GB", bytes / gb);
  }
  return text;
}

std::string to_text(const Plan& p) {
  std::string text;
  const auto row = [&](const std::string& name, const std::string& value, const std::string& note = "") {
    char line[160];
    std::snprintf(line, sizeof line, "%-28s %14s  %s", name.c_str(), value.c_str(), note.c_str());
    text += line;
    while (text.back() == ' ') text.pop_back();
    text += "\n";
  };
  const auto share = [&](double bytes) { return concat(std::lround(100 * bytes / p.peak_bytes()), " %"); };
  const auto memory = [&](const std::string& name, double bytes) { row(name, format_bytes(bytes), share(bytes)); };
  row("parameters", format_count(p.parameters),
      p.trained == p.parameters ? "" : concat(format_count(p.trained), " trained"));
  row("pairs of a step", format_count(p.pairs()), concat(choice(p)));
  memory("weights", p.weight_bytes);
  memory("gradients", p.gradient_bytes);
  memory("moments", p.moment_bytes);
  memory("activations", p.activation_bytes());
  row("  of a pair", format_bytes(p.pair_bytes));
  memory("batches", p.input_bytes);
  memory("program", p.process_bytes);
  row("peak memory", format_bytes(p.peak_bytes()));
  if (p.pass_seconds == 0) return text;
  const auto seconds = [](double s) {
    char number[32];
    std::snprintf(number, sizeof number, s < 10 ? "%.1f ms" : "%.0f ms", 1e3 * s);
    return std::string(number);
  };
  const auto part = [&](double s) { return concat(std::lround(100 * s / p.step_seconds()), " %"); };
  row("forward and backward", seconds(p.pass_seconds), part(p.pass_seconds));
  row("optimiser", seconds(p.optimizer_seconds), part(p.optimizer_seconds));
  row("step", seconds(p.step_seconds()));
  char rate[32];
  std::snprintf(rate, sizeof rate, "%.1f", static_cast<double>(p.pairs()) / p.step_seconds());
  row("pairs per second", rate);
  return text;
}

}  // namespace fovea::train
