// Whole runs spread over ranks, which are threads here: the same training as on one.
#include <cmath>
#include <limits>

#include "../support/thread_ranks.h"
#include "fovea/ops/elementwise.h"
#include "fovea/train/stop_signal.h"
#include "trainer_run.h"

namespace fovea::train {
namespace {

class TrainingRanks : public TrainerRun {
 protected:
  // No BatchNorm: its statistics are each rank's own.
  Config spread_config() const {
    Config c = config(tiny_vit_transformer);
    c.data.batch_size = 8;
    c.data.workers = 0;
    c.data.transform = R"({"augment": {"affine": {"rotation": 20}}})";
    c.optim.lr = 1e-3;
    c.eval.splits = {"test"};
    return c;
  }

  // All ranks make the task and train; every rank says whether it finished.
  template <class Change>
  Outcome run_on(int ranks, Config c, Change&& change, const std::string& resume = "") {
    if (resume.empty()) c.output = new_folder();
    tests::on_ranks(ranks, [&](dist::Group& group) {
      Config own = c;
      change(group.rank(), own);
      ClipTask task(own, make_objective(own.objective), group);
      finished_[static_cast<std::size_t>(group.rank())] =
          resume.empty() ? Trainer(task, own).run() : Trainer::resumed(task, own, resume).run();
    });
    Outcome outcome{c.output, lines_of(c.output + "/metrics.jsonl"), "", 0};
    if (finished_[0]) outcome.weights = io::read_file(c.output + "/model/model.safetensors");
    return outcome;
  }
  Outcome run_on(int ranks, const Config& c) {
    return run_on(ranks, c, [](int, Config&) {});
  }

  static void expect_near(const Outcome& a, const Outcome& b, double tolerance) {
    const std::vector<double> x = losses(a.lines), y = losses(b.lines);
    ASSERT_EQ(x.size(), y.size());
    for (std::size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(x[i], y[i], tolerance * y[i]) << "step " << i;
    const io::TensorMap ours = io::load_safetensors(a.folder + "/model/model.safetensors");
    for (const auto& [name, theirs] : io::load_safetensors(b.folder + "/model/model.safetensors")) {
      const Tensor& own = ours.at(name);
      for (std::int64_t i = 0; i < own.numel(); ++i) ASSERT_NEAR(own.at(i), theirs.at(i), 2e-4) << name;
    }
  }

  std::array<bool, 8> finished_{};
};

TEST_F(TrainingRanks, TrainAsOneRankDoes) {
  for (const char* objective : {"info_nce", "sigmoid"}) {
    for (const std::int64_t accum_freq : {1, 2}) {
      Config c = spread_config();
      c.objective.name = objective;
      c.train.accum_freq = accum_freq;
      if (c.objective.name == "info_nce") c.objective.label_smoothing = 0.1;
      const Outcome one = run_on(1, c);
      for (const int ranks : {2, 4}) {
        for (const char* exchange : {"ring", "gather"}) {
          SCOPED_TRACE(concat(objective, ", ", ranks, " ranks, accum_freq ", accum_freq, ", ", exchange));
          c.objective.exchange = exchange;
          const Outcome many = run_on(ranks, c);
          expect_near(many, one, 1e-4);
          EXPECT_EQ(many.lines.size(), one.lines.size());
        }
      }
    }
  }
}

TEST_F(TrainingRanks, TheSameNumberOfRanksGivesTheSameBits) {
  Config c = spread_config();
  c.train.checkpointing = true;
  c.optim.ema_decay = 0.9;
  expect_same_run(run_on(2, c), run_on(2, c));
}

TEST_F(TrainingRanks, GoOnAtAnotherNumberOfRanks) {
  Config c = spread_config();
  c.train.epochs = 6;
  c.train.save_steps = 4;
  c.train.keep_checkpoints = 10;
  c.optim.ema_decay = 0.9;
  const Outcome whole = run_on(4, c);
  for (const int ranks : {1, 2}) {
    c.output = whole.folder;
    const Outcome resumed = run_on(
        ranks, c, [](int, Config&) {}, whole.folder + "/checkpoints/step-8");
    EXPECT_EQ(losses(resumed.lines).size(), 12u);
    EXPECT_EQ(resumed.lines.size(), whole.lines.size());
  }
  const Outcome one = run_on(1, c);
  expect_near(whole, one, 1e-3);  // written again by the runs that went on
}

TEST_F(TrainingRanks, DifferentConfigurationsAreRefusedByName) {
  const Config c = spread_config();
  const auto change = [](int rank, Config& own) {
    if (rank == 1) own.optim.lr = 2e-3;
  };
  const std::string text = error_of([&] { run_on(2, c, change); });
  EXPECT_TRUE(
      contains(text, "[train] optim.lr is 0.002 on rank 1, 0.001 on rank 0\nhint: start all ranks with the same"))
      << text;
  // What belongs to a machine may differ.
  run_on(2, c, [](int rank, Config& own) { own.data.workers = rank; });
  EXPECT_TRUE(finished_[0] && finished_[1]);
}

TEST_F(TrainingRanks, BatchesThatCannotBeSharedAreRefused) {
  EXPECT_TRUE(contains(error_of([&] { run_on(3, spread_config()); }),
                       "[loader] batches of 8 cannot be shared evenly by 3 ranks"));
}

TEST_F(TrainingRanks, AFolderThatHoldsARunIsRefusedByAll) {
  Config c = spread_config();
  const Outcome done = run_on(1, c);
  std::vector<std::string> texts(2);
  tests::on_ranks(2, [&](dist::Group& group) {
    Config own = c;
    own.output = done.folder;
    ClipTask task(own, make_objective(own.objective), group);
    texts[static_cast<std::size_t>(group.rank())] = error_of([&] { Trainer(task, own).run(); });
  });
  for (const std::string& text : texts) EXPECT_TRUE(contains(text, "already holds a run")) << text;
}

// A loss that is not a number on one rank alone, once.
TEST_F(TrainingRanks, AStepThatIsNotFiniteIsSkippedByAll) {
  class Poisoned final : public Task {
   public:
    Poisoned(ClipTask& task, bool poison) : task_(task), poison_(poison) {}
    Config resolved(const Config& config) const override { return task_.resolved(config); }
    const std::vector<nn::ParamEntry>& parameters() const override { return task_.parameters(); }
    data::Loader& loader() override { return task_.loader(); }
    dist::Group& group() const override { return task_.group(); }
    objectives::Loss loss(const data::Batch& batch, const nn::Ctx& ctx) override {
      objectives::Loss loss = task_.loss(batch, ctx);
      if (poison_ && ++calls_ == 3) loss.total = ops::mul(loss.total, std::numeric_limits<double>::quiet_NaN());
      return loss;
    }
    SplitScores evaluate(const std::string& split) override { return task_.evaluate(split); }
    void save(const std::string& folder) const override { task_.save(folder); }

   private:
    ClipTask& task_;
    bool poison_;
    int calls_ = 0;
  };
  Config c = spread_config();
  c.output = new_folder();
  std::vector<std::vector<float>> weights(2);
  tests::on_ranks(2, [&](dist::Group& group) {
    ClipTask inner(c, make_objective(c.objective), group);
    Poisoned task(inner, group.rank() == 1);
    EXPECT_TRUE(Trainer(task, c).run());
    for (const nn::ParamEntry& entry : task.parameters()) {
      const Tensor value = entry.value();
      for (std::int64_t i = 0; i < value.numel(); ++i)
        weights[static_cast<std::size_t>(group.rank())].push_back(static_cast<float>(value.at(i)));
    }
  });
  EXPECT_TRUE(weights[0] == weights[1]);
  const std::vector<Json> lines = lines_of(c.output + "/metrics.jsonl");
  EXPECT_EQ(lines[lines.size() - 2]["skipped_steps"], 1);
}

TEST_F(TrainingRanks, StopTogetherAndGoOn) {
  Config c = spread_config();
  c.train.epochs = 1000;
  const StopOnSignals signals;
  std::thread stopper([] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    request_stop();
  });
  const Outcome stopped = run_on(2, c);
  stopper.join();
  EXPECT_FALSE(finished_[0] || finished_[1]);
  EXPECT_TRUE(std::filesystem::exists(stopped.folder + "/checkpoints/last"));
}

}  // namespace
}  // namespace fovea::train
