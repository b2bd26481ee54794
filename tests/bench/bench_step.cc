// Times whole training steps on random data: docs/benchmarks.md says what is measured.
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "fovea/autograd/backward.h"
#include "fovea/autograd/profiler.h"
#include "fovea/autograd/saved.h"
#include "fovea/core/cpu.h"
#include "fovea/core/parallel.h"
#include "fovea/core/profile.h"
#include "fovea/io/file.h"
#include "fovea/kernels/roofline.h"
#include "fovea/models/clip.h"
#include "fovea/models/presets.h"
#include "fovea/objectives/gradient_cache.h"
#include "fovea/objectives/info_nce.h"
#include "fovea/ops/elementwise.h"
#include "fovea/ops/reduce.h"
#include "fovea/optim/adamw.h"
#include "fovea/tensor/factory.h"
#include "fovea/train/plan.h"

namespace {

using namespace fovea;

struct Options {
  std::string preset = "small", exact_savings = "off", precision = "f32";
  std::int64_t batch = 32, steps = 10, tokens = 0, accum_freq = 1;
  int threads = num_threads();
  bool json = false, checkpointing = false, profile = false;
  std::string trace;

  bool profiles() const { return profile || !trace.empty(); }
  bool saving() const { return exact_savings == "on"; }
  nn::Ctx context() const {
    nn::Ctx ctx{.training = true};
    ctx.checkpointing = checkpointing;
    ctx.every_token = !saving();
    return ctx;
  }
};

// One step of a model: forward, backward, AdamW on all parameters.
template <class Model>
class Stepper {
 public:
  Stepper(Model model, const Options& options)
      : model_(std::move(model)), store_(nn::collect(model_)), options_(options) {}

  // Milliseconds of each step after the first two, which fill caches and allocate.
  template <class Backward>
  std::vector<double> run(const Backward& backward_pass) {
    std::vector<double> times;
    std::optional<Profiler> profiler;
    for (std::int64_t step = 0; step < options_.steps + 2; ++step) {
      if (step == 2 && options_.profiles()) profiler.emplace(nn::module_names(nn::collect(model_)));
      const profile::Span span("step");
      const auto start = std::chrono::steady_clock::now();
      store_.clear_gradients();
      {
        const SaveInBf16 rounding(options_.precision == "bf16");
        backward_pass(model_, options_.context());
      }
      store_.complete_gradients();
      optimizer_.step(store_, 1e-4);
      const std::chrono::duration<double, std::milli> elapsed = std::chrono::steady_clock::now() - start;
      if (step >= 2) times.push_back(elapsed.count());
    }
    if (profiler) show(*profiler);
    return times;
  }

 private:
  void show(const Profiler& profiler) const {
    if (options_.profile) {
      std::fprintf(stderr, "%s", profiler.report(kernels::measure_roofline(), options_.steps).c_str());
    }
    if (!options_.trace.empty()) io::write_file(options_.trace, profiler.trace_json());
  }

  Model model_;
  optim::ParamStore store_;
  optim::AdamW optimizer_;
  const Options& options_;
};

// Forward operations of `pairs` pairs as they are computed: products only, two operations per multiply-add.
double transformer_flops(const nn::TransformerConfig& c, std::int64_t length, bool last_block_pooled) {
  const double dense = nn::Transformer::flops(c, 1, length);
  if (!last_block_pooled) return dense;
  const auto d = static_cast<double>(c.width), skipped = static_cast<double>(length - 1);
  const double per_token = 2 * d * (2 * d + 2 * static_cast<double>(c.hidden)) + 4 * static_cast<double>(length) * d;
  return dense - skipped * per_token;  // queries, their scores, output projection and MLP of all tokens but one
}

double clip_flops(const models::ClipConfig& config, std::int64_t pairs, std::int64_t length, bool saving) {
  const auto& vision = std::get<models::VisionTransformerConfig>(config.image);
  const auto& text = std::get<models::TextTransformerConfig>(config.text);
  const double patches =
      models::VisionTransformer::flops(vision) - nn::Transformer::flops(vision.transformer, 1, vision.tokens());
  const double projections =
      2.0 * static_cast<double>(config.embed * (vision.transformer.width + text.transformer.width));
  const auto n = static_cast<double>(pairs);
  return n * (patches + transformer_flops(vision.transformer, vision.tokens(), saving) +
              transformer_flops(text.transformer, length, saving) + projections +
              2 * n * static_cast<double>(config.embed));
}

struct Measured {
  std::vector<double> times;  // ms
  double flops = 0;           // of one step: three times the forward pass
};

Measured measure_clip(const Options& options) {
  const models::ClipConfig config = models::step_benchmark(options.preset).model;
  const std::int64_t context = models::TextTower::context(config.text);
  const std::int64_t length = options.saving() && options.tokens > 0 ? options.tokens : context;
  FOVEA_CHECK(length >= 2 && length <= context, "[bench_step] captions of ", length, " tokens, expected 2 to ",
              context);
  FOVEA_CHECK(options.batch % options.accum_freq == 0, "[bench_step] a batch of ", options.batch,
              " does not divide into ", options.accum_freq, " micro-batches");
  const std::int64_t micro = options.batch / options.accum_freq;
  std::vector<data::Batch> batches;
  for (std::int64_t i = 0; i < options.accum_freq; ++i) {
    batches.push_back(train::random_batch(config, micro, length, static_cast<std::uint64_t>(i + 1)));
  }
  nn::Init init(1);
  Stepper stepper(models::ClipModel(config, init), options);
  const objectives::InfoNce objective;
  const auto times = stepper.run([&](const models::ClipModel& model, const nn::Ctx& ctx) {
    if (batches.size() == 1) return backward(objective(model.embed(batches[0], ctx), ctx).total);
    const auto encode = [&](std::int64_t i, const nn::Ctx& pass) {
      return model.embed(batches[static_cast<std::size_t>(i)], pass);
    };
    objectives::backward_with_gradient_cache(options.accum_freq, encode, objective, ctx);
  });
  return {times, 3 * clip_flops(config, options.batch, length, options.saving())};
}

// An image tower alone, CLIP's RN50 or EfficientNet-B0; its loss is the mean of the squared features.
Measured measure_tower(const Options& options) {
  FOVEA_CHECK(!options.saving() && !options.checkpointing && options.accum_freq == 1 && options.tokens == 0,
              "[bench_step] ", options.preset, " has no exact savings, captions, micro-batches or checkpoints");
  const models::ImageTower::Config config = models::step_benchmark(options.preset).model.image;
  nn::Init init(1);
  Stepper stepper(models::ImageTower(config, init), options);
  const std::int64_t size = models::ImageTower::image_size(config);
  const Tensor images = random_normal({options.batch, size, size, 3}, RngKey{1});
  const auto times = stepper.run([&](const models::ImageTower& model, const nn::Ctx& ctx) {
    backward(ops::mean(ops::square(model(images, ctx))));
  });
  return {times, 3 * static_cast<double>(options.batch) * models::ImageTower::flops(config)};
}

// BERT-base alone on texts of 64 tokens, or --tokens; its loss is the mean of the squared states of all tokens.
Measured measure_bert(const Options& options) {
  FOVEA_CHECK(!options.saving() && options.accum_freq == 1,
              "[bench_step] bert has no exact savings and no micro-batches");
  const models::BertConfig config = models::bert_preset("bert-base");
  const std::int64_t length = options.tokens > 0 ? options.tokens : 64;
  nn::Init init(1);
  Stepper stepper(models::Bert(config, init), options);
  Tensor tokens({options.batch * length}, DType::i32);
  for (std::int64_t i = 0; i < tokens.numel(); ++i)
    tokens.mutable_data<std::int32_t>()[i] =
        static_cast<std::int32_t>(1 + philox(RngKey{1}, static_cast<std::uint64_t>(i))[0] % (config.vocabulary - 1));
  const PackedLayout layout = PackedLayout::uniform(options.batch, length);
  const auto times = stepper.run([&](const models::Bert& model, const nn::Ctx& ctx) {
    backward(ops::mean(ops::square(model.hidden(tokens, ctx.with(layout)))));
  });
  return {times, 3 * static_cast<double>(options.batch) * models::Bert::flops(config, length)};
}

void print(const Options& options, Measured measured) {
  std::nth_element(measured.times.begin(),
                   measured.times.begin() + static_cast<std::ptrdiff_t>(measured.times.size() / 2),
                   measured.times.end());
  const double ms = measured.times[measured.times.size() / 2], rate = measured.flops / ms * 1e3;
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const double rss = static_cast<double>(usage.ru_maxrss) / 1024;
  const char* format =
      options.json
          ? "{\"preset\": \"%s\", \"batch\": %lld, \"threads\": %d, \"isa\": \"%s\", \"step_ms\": %.3f, "
            "\"pairs_per_s\": %.2f, \"gflops\": %.2f, \"peak_fraction\": %.4f, \"peak_rss_mb\": %.1f}\n"
          : "%s, batch %lld, %d threads, %s: %.3f ms a step, %.2f pairs/s, %.2f GFLOP/s, %.4f of the FMA peak, "
            "at most %.1f MB resident\n";
  std::printf(format, options.preset.c_str(), static_cast<long long>(options.batch), options.threads,
              cpu::to_string(cpu::active_isa()).c_str(), ms, static_cast<double>(options.batch) / ms * 1e3, rate * 1e-9,
              rate / kernels::measure_roofline().flops, rss);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Times training steps on random data: forward, loss, backward and AdamW.");
  Options options;
  std::vector<std::string> presets = models::step_benchmark_names();
  presets.emplace_back("bert");
  app.add_option("--preset", options.preset,
                 "small, s16 and b32: CLIP with transformers; rn50, b0, bert (BERT-base): the towers alone")
      ->check(CLI::IsMember(presets));
  app.add_option("--batch", options.batch, "pairs of a step")->check(CLI::PositiveNumber);
  app.add_option("--steps", options.steps, "steps measured, after two that are not")->check(CLI::PositiveNumber);
  app.add_option("--threads", options.threads)->check(CLI::Range(1, 4096));
  app.add_flag("--json", options.json, "one line of JSON");
  app.add_option("--exact-savings", options.exact_savings,
                 "off: every caption fills the context, and last blocks compute every token")
      ->check(CLI::IsMember({"on", "off"}));
  app.add_option("--tokens", options.tokens,
                 "length of captions with start and end token, under exact savings; of bert's texts");
  app.add_option("--accum-freq", options.accum_freq, "micro-batches of a step, through the gradient cache")
      ->check(CLI::PositiveNumber);
  app.add_option("--precision", options.precision, "bf16: activations are kept for backward in half the memory")
      ->check(CLI::IsMember({"f32", "bf16"}));
  app.add_flag("--checkpointing", options.checkpointing, "blocks keep their inputs alone");
  app.add_flag("--profile", options.profile, "tables of operations and modules on standard error: where the time goes");
  app.add_option("--trace", options.trace, "the same as a file for chrome://tracing or ui.perfetto.dev")
      ->type_name("FILE");
  CLI11_PARSE(app, argc, argv);
  try {
    set_num_threads(options.threads);
    if (options.preset == "bert") {
      print(options, measure_bert(options));
      return 0;
    }
    print(options,
          models::step_benchmark(options.preset).image_tower_alone ? measure_tower(options) : measure_clip(options));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
