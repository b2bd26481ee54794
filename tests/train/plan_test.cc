#include "fovea/train/plan.h"

#include <gtest/gtest.h>

#include <cmath>

#include "../support/error_of.h"
#include "fovea/autograd/backward.h"
#include "fovea/core/allocator.h"
#include "fovea/core/parallel.h"
#include "fovea/models/presets.h"
#include "fovea/objectives/info_nce.h"
#include "fovea/train/meters.h"
#include "fovea/train/trainer.h"

namespace fovea::train {
namespace {

using tests::error_of;

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

Config transformer_config(int image_layers = 6) {
  Config c;
  c.model = R"({
    "image": {"type": "vit", "image_size": 32, "patch_size": 4, "width": 64, "heads": 2, "layers": )" +
            std::to_string(image_layers) + R"(},
    "text": {"type": "transformer", "vocabulary": 512, "context": 16, "width": 64, "layers": 4, "heads": 2},
    "embed": 32})";
  c.data.batch_size = 128;
  return c;
}

PlanOptions memory_alone() {
  PlanOptions options;
  options.time = false;
  return options;
}

TEST(Plan, SizesAreReadAndWritten) {
  EXPECT_EQ(parse_bytes("12G"), 12ll << 30);
  EXPECT_EQ(parse_bytes("1.5m"), 3ll << 19);
  EXPECT_EQ(parse_bytes("64K"), 65536);
  EXPECT_EQ(parse_bytes("1000000"), 1000000);
  for (const char* wrong : {"", "G", "12X", "12GB", "-1G", "0", "nan"}) {
    EXPECT_TRUE(contains(error_of([&] { parse_bytes(wrong); }), "is no size in memory")) << wrong;
  }
  EXPECT_EQ(format_bytes(12.5 * (1 << 30)), "12.50 GB");
  EXPECT_EQ(format_bytes(240.2 * (1 << 20)), "240 MB");
  EXPECT_EQ(format_bytes(1 << 20), "1.0 MB");
}

TEST(Plan, CountsWhatTheStoreWillHold) {
  Config c = transformer_config();
  const Plan plan = make_plan(c, memory_alone());
  const models::ModelSize size = models::model_size(models::parse_clip_config(c.model), 16);
  EXPECT_EQ(plan.parameters, size.parameters);
  EXPECT_EQ(plan.trained, size.parameters);
  const double bytes = 4 * static_cast<double>(size.parameters);
  EXPECT_EQ(plan.weight_bytes, bytes);
  EXPECT_EQ(plan.gradient_bytes, bytes);
  EXPECT_EQ(plan.moment_bytes, 2 * bytes);
  EXPECT_EQ(plan.pass_seconds, 0);
  c.optim.name = "sgd";
  c.optim.ema_decay = 0.99;
  c.train.lock_image = true;
  const Plan frozen = make_plan(c, memory_alone());
  EXPECT_EQ(frozen.parameters, plan.parameters);
  EXPECT_LT(frozen.trained, plan.trained / 2);
  EXPECT_EQ(frozen.gradient_bytes, 4 * static_cast<double>(frozen.trained));
  EXPECT_EQ(frozen.moment_bytes, frozen.gradient_bytes);
  EXPECT_EQ(frozen.weight_bytes, bytes + frozen.gradient_bytes);
  EXPECT_LT(frozen.pair_bytes, 0.6 * plan.pair_bytes);  // the image tower keeps nothing
}

// Checkpoints leave the inputs of all blocks and the insides of one: the deeper, the smaller the share.
TEST(Plan, CheckpointsAndMicroBatchesNeedLess) {
  Config c = transformer_config(/*image_layers=*/18);
  const Plan plain = make_plan(c, memory_alone());
  c.train.checkpointing = true;
  const Plan checkpointed = make_plan(c, memory_alone());
  EXPECT_LT(checkpointed.pair_bytes, 0.5 * plain.pair_bytes);
  c.train.checkpointing = false;
  c.data.batch_size = 32;
  c.train.accum_freq = 4;
  const Plan cached = make_plan(c, memory_alone());
  EXPECT_EQ(cached.pairs(), plain.pairs());
  EXPECT_EQ(cached.micro_batch, 32);
  EXPECT_LT(cached.activation_bytes(), 0.5 * plain.activation_bytes());
  EXPECT_GT(cached.loss_bytes, 0);
}

TEST(Plan, CaptionsMustFitTheContext) {
  PlanOptions options = memory_alone();
  options.caption_tokens = 17;
  EXPECT_TRUE(contains(error_of([&] { make_plan(transformer_config(), options); }), "expected 2 to 16"));
}

TEST(Plan, TheTableNamesItsParts) {
  const Plan plan = make_plan(transformer_config());
  EXPECT_GT(plan.pass_seconds, 0);
  EXPECT_GT(plan.optimizer_seconds, 0);
  const std::string text = to_text(plan);
  for (const char* part : {"parameters", "weights", "gradients", "moments", "activations", "peak memory", "optimiser",
                           "step ", "pairs per second"})
    EXPECT_TRUE(contains(text, part)) << part << " is not in\n" << text;
}

std::string limit(double bytes) { return std::to_string(std::llround(bytes)); }

TEST(FitMemory, ChangesOnlyWhatItMust) {
  Config c = transformer_config();
  const Plan plain = make_plan(c, memory_alone());
  c.train.max_memory = "100G";
  Fitted fitted = fit_memory(c);
  EXPECT_EQ(fitted.config.train.accum_freq, 1);
  EXPECT_FALSE(fitted.config.train.checkpointing);
  EXPECT_EQ(fitted.config.data.batch_size, 128);
  EXPECT_EQ(fitted.config.data.cache_bytes, c.data.cache_bytes);
  EXPECT_TRUE(contains(fitted.explanation, "1 batch of 128 pairs without activation checkpoints"))
      << fitted.explanation;

  const double resting = plain.peak_bytes() - plain.activation_bytes();
  c.train.max_memory = limit((resting + 0.7 * plain.activation_bytes()) / 0.95);
  fitted = fit_memory(c);
  EXPECT_EQ(fitted.config.train.accum_freq, 1);
  EXPECT_TRUE(fitted.config.train.checkpointing);
  EXPECT_TRUE(contains(fitted.explanation, "would take")) << fitted.explanation;

  c.train.max_memory = "1M";
  const std::string error = error_of([&] { fit_memory(c); });
  EXPECT_TRUE(contains(error, "train.max_memory is 1M, but even ")) << error;
  EXPECT_TRUE(contains(error, "hint:")) << error;
}

// Checkpoints do nothing in a ResNet: micro-batches do.
TEST(FitMemory, MicroBatchesKeepThePairsOfAStep) {
  Config c;
  c.model = R"({
    "image": {"type": "resnet", "image_size": 128, "stem_kernel": 3, "channels": [32, 64], "blocks": [1, 1]},
    "text": {"type": "cbow", "vocabulary": 512, "context": 16, "width": 16}, "embed": 16})";
  c.data.batch_size = 96;
  c.eval.batch_size = 256;
  const Plan plain = make_plan(c, memory_alone());
  const double resting = plain.peak_bytes() - plain.activation_bytes();
  c.train.max_memory = limit((resting + 0.55 * plain.activation_bytes()) / 0.95);
  const Fitted fitted = fit_memory(c);
  EXPECT_GT(fitted.config.train.accum_freq, 1);
  EXPECT_FALSE(fitted.config.train.checkpointing);
  EXPECT_EQ(fitted.config.data.batch_size * fitted.config.train.accum_freq, 96);
  EXPECT_GE(fitted.config.data.batch_size, 8);
  EXPECT_EQ(fitted.config.eval.batch_size, fitted.config.data.batch_size);
  EXPECT_LT(fitted.config.data.cache_bytes, c.data.cache_bytes);
  // A run that goes on keeps its choice, whatever a new measurement would give.
  Config started = fitted.config;
  started.data.batch_size = 32;
  started.train.accum_freq = 3;
  const Fitted again = fit_memory(c, &started);
  EXPECT_EQ(again.config.data.batch_size, 32);
  EXPECT_EQ(again.config.train.accum_freq, 3);
}

double resident() {
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  long pages = 0, all = 0;
  const int read = std::fscanf(file, "%ld %ld", &all, &pages);
  std::fclose(file);
  return read == 2 ? 4096.0 * static_cast<double>(pages) : 0;
}

// The bounds are wide because other tests run beside this one; docs/profiling.md has the figures of a quiet machine.
TEST(Plan, SlowAgreesWithStepsOfTheWholeBatch) {
  const int threads_before = num_threads();
  set_num_threads(1);
  Config c;
  c.model = "\"small-vit\"";
  c.data.batch_size = 32;
  PlanOptions options;
  options.trainer = false;
  const Plan plan = make_plan(c, options);
  allocator::release_cached();
  const double before = resident();
  const models::ClipConfig model = models::clip_preset("small-vit");
  nn::Init init(1);
  const models::ClipModel clip(model, init);
  optim::ParamStore store(nn::collect(clip));
  optim::Optimizer optimizer = make_optimizer(c.optim);
  const data::Batch batch = random_batch(model, 32, models::TextTower::context(model.text), 1);
  const nn::Ctx ctx = training_context(c.train, 0);
  double seconds = 1e9;
  for (int step = 0; step < 4; ++step) {
    const double start = monotonic_seconds();
    store.clear_gradients();
    backward(objectives::InfoNce()(clip.embed(batch, ctx), ctx).total);
    optimizer.step(store, 1e-4);
    seconds = std::min(seconds, monotonic_seconds() - start);
  }
  EXPECT_NEAR((resident() - before) / (plan.peak_bytes() - plan.process_bytes), 1, 0.15);
  EXPECT_GT(plan.step_seconds(), 0.5 * seconds);
  EXPECT_LT(plan.step_seconds(), 3 * seconds);
  set_num_threads(threads_before);
}

}  // namespace
}  // namespace fovea::train
