// Checkpoints on the disk: whole or not there, and runs that go on from them to the same bits.
#include "fovea/train/checkpoint.h"

#include <sys/resource.h>

#include <csignal>
#include <filesystem>

#include "fovea/train/stop_signal.h"
#include "trainer_run.h"

namespace fovea::train {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

// InfoNCE that asks for a stop, or breaks off, at one of its calls.
struct Interrupted {
  int* calls;
  int at;
  bool breaks_off;
  objectives::Loss operator()(const objectives::Embeddings& e, const nn::Ctx& ctx) const {
    if (++*calls == at) {
      FOVEA_CHECK(!breaks_off, "broken off");
      request_stop();
    }
    return (*make_objective({}))(e, ctx);
  }
};

class CheckpointedRun : public TrainerRun {
 protected:
  // 2 steps an epoch, lines of 3 steps, evaluations every 2 epochs: stops fall everywhere between them.
  Config long_config(const char* model = tiny_resnet_cbow) const {
    Config c = config(model);
    c.data.batch_size = 8;
    c.data.transform = R"({"augment": {"affine": {"rotation": 20}, "color": {"contrast": 0.3}}})";
    c.train.epochs = 6;
    c.train.log_every = 3;
    c.train.save_minutes = 0;
    c.eval.splits = {"test"};
    c.eval.every_epochs = 2;
    c.optim.ema_decay = 0.6;
    return c;
  }

  // Starts a run that is stopped in its step `at` and leaves it.
  void run_until(const Config& c, int at, bool breaks_off = false) const {
    int calls = 0;
    const StopOnSignals scope;  // forgets the request at its end
    ClipTask task(c, Interrupted{&calls, at, breaks_off});
    Trainer trainer(task, c);
    if (breaks_off) {
      EXPECT_EQ(error_of([&] { trainer.run(); }), "broken off");
    } else {
      EXPECT_FALSE(trainer.run());
    }
  }
  static Outcome resume(const Config& c, const std::string& from = "latest") {
    ClipTask task(c);
    Trainer trainer = Trainer::resumed(task, c, from);
    EXPECT_TRUE(trainer.run());
    return {c.output, lines_of(c.output + "/metrics.jsonl"), io::read_file(c.output + "/model/model.safetensors"),
            trainer.total_steps()};
  }
  static std::string checkpoint(const Config& c, int step) { return concat(c.output, "/checkpoints/step-", step); }
};

TEST_F(CheckpointedRun, GoesOnToTheSameBitsFromAnyStep) {
  Config c = long_config();
  const Outcome whole = run(c);
  ASSERT_EQ(whole.steps, 12);
  for (const int at : {1, 2, 3, 4, 6, 8, 11, 12}) {
    SCOPED_TRACE(concat("stopped at step ", at));
    c.output = new_folder();
    run_until(c, at);
    EXPECT_EQ(io::read_file(c.output + "/checkpoints/last"), concat("step-", at, "\n"));
    expect_same_run(resume(c), whole);
  }
}

TEST_F(CheckpointedRun, GoesOnWithSgdAccumulationAndDoublePrecision) {
  Config c = long_config(tiny_vit_transformer);
  c.data.batch_size = 3;  // five batches an epoch, of which four are used
  c.train.accum_freq = 2;
  c.train.precision = "f64";
  c.optim.name = "sgd";
  c.optim.lr = 0.05;
  const Outcome whole = run(c);
  for (const int at : {3, 4}) {
    c.output = new_folder();
    run_until(c, at);
    expect_same_run(resume(c), whole);
  }
}

TEST_F(CheckpointedRun, StopsTwiceAndIsResumedWhenFinished) {
  Config c = long_config();
  const Outcome whole = run(c);
  c.output = new_folder();
  run_until(c, 2);
  {
    int calls = 0;
    const StopOnSignals scope;
    ClipTask task(c, Interrupted{&calls, 3, false});
    Trainer trainer = Trainer::resumed(task, c, "latest");
    EXPECT_FALSE(trainer.run());
  }
  EXPECT_EQ(io::read_file(c.output + "/checkpoints/last"), "step-5\n");
  expect_same_run(resume(c), whole);
  expect_same_run(resume(c), whole);  // nothing is left to do but the end
}

TEST_F(CheckpointedRun, ABrokenRunGoesOnFromItsLastCheckpointAndDropsLaterLines) {
  Config c = long_config();
  const Outcome whole = run(c);
  c.output = new_folder();
  c.train.save_steps = 2;
  run_until(c, 10, true);
  EXPECT_EQ(names_in(c.output + "/checkpoints"), (std::vector<std::string>{"last", "step-6", "step-8"}));
  EXPECT_EQ(lines_of(c.output + "/metrics.jsonl").back()["step"], 9);
  expect_same_run(resume(c), whole);
  EXPECT_EQ(names_in(c.output + "/checkpoints"), (std::vector<std::string>{"last", "step-10", "step-12"}));
}

TEST_F(CheckpointedRun, ADamagedCheckpointIsPassedOver) {
  Config c = long_config();
  const Outcome whole = run(c);
  c.train.save_steps = 2;
  c.output = new_folder();
  run_until(c, 10, true);
  const std::string broken = c.output;
  for (const char* file : {"model.safetensors", "state.safetensors", "state.json"}) {
    for (const bool cut : {false, true}) {
      SCOPED_TRACE(concat(file, cut ? " cut" : " changed"));
      c.output = new_folder();
      fs::copy(broken, c.output, fs::copy_options::recursive);
      std::string bytes = io::read_file(checkpoint(c, 8) + "/" + file);
      if (cut) {
        bytes.resize(bytes.size() / 2);
      } else {
        bytes[bytes.size() - 7] = static_cast<char>(bytes[bytes.size() - 7] ^ 1);
      }
      io::write_file(checkpoint(c, 8) + "/" + file, bytes);
      EXPECT_TRUE(contains(error_of([&] { Checkpoints::load(checkpoint(c, 8)); }), file));
      expect_same_run(resume(c), whole);
    }
  }
  fs::remove(checkpoint({c}, 12) + "/state.json");
  fs::remove(checkpoint({c}, 10) + "/state.json");
  ClipTask task(c);
  const std::string error = error_of([&] { Trainer::resumed(task, c, "latest"); });
  EXPECT_TRUE(contains(error, "[checkpoint] no checkpoint in " + c.output + "/checkpoints is whole")) << error;
}

TEST_F(CheckpointedRun, GoesBackToAnEarlierCheckpoint) {
  Config c = long_config();
  c.train.save_steps = 2;
  c.train.keep_checkpoints = 100;
  const Outcome whole = run(c);
  c.output = whole.folder;
  EXPECT_EQ(run_folder_of(checkpoint(c, 4)), c.output);
  EXPECT_EQ(run_folder_of(checkpoint(c, 4) + "/"), c.output);
  EXPECT_EQ(run_folder_of("checkpoints/step-4"), ".");
  expect_same_run(resume(c, checkpoint(c, 4)), whole);
  ClipTask task(c);
  EXPECT_TRUE(contains(error_of([&] { Trainer::resumed(task, c, c.output + "/checkpoints/step-5"); }),
                       "step-5 is not a folder\nhint: checkpoints are the folders step-N"));
  Config other = c;
  other.output = new_folder();
  EXPECT_TRUE(contains(error_of([&] { Trainer::resumed(task, other, checkpoint(c, 4)); }),
                       "is not one of the run in " + other.output));
}

TEST_F(CheckpointedRun, ARunWithoutACheckpointStartsAgain) {
  Config c = long_config();
  const Outcome whole = run(c);
  c.output = new_folder();
  expect_same_run(resume(c), whole);  // nothing there at all
  c.output = new_folder();
  run_until(c, 5, true);
  fs::remove_all(c.output + "/checkpoints");
  expect_same_run(resume(c), whole);
}

TEST_F(CheckpointedRun, LeftoversOfAKilledProcessAreNotCheckpoints) {
  Config c = long_config();
  const Outcome whole = run(c);
  c.output = new_folder();
  run_until(c, 3);
  fs::copy(checkpoint(c, 3), checkpoint(c, 9) + ".tmp");
  io::write_file(c.output + "/checkpoints/last.123.tmp", "step-9");
  expect_same_run(resume(c), whole);
  EXPECT_EQ(names_in(c.output + "/checkpoints"), (std::vector<std::string>{"last", "step-12", "step-3"}));
}

TEST_F(CheckpointedRun, AnotherConfigurationIsRefusedNamingTheKey) {
  Config c = long_config();
  c.output = new_folder();
  run_until(c, 3);
  const auto error_with = [&](const std::string& setting) {
    Config changed = c;
    apply_set(changed, setting);
    ClipTask task(changed);
    return error_of([&] { Trainer::resumed(task, changed, "latest"); });
  };
  EXPECT_EQ(error_with("optim.lr=0.5"),
            concat("[train] optim.lr is 0.5, the run in ", c.output,
                   " was started with 0.003\nhint: a resumed run keeps its configuration; to go on differently, start "
                   "a new run whose model is ",
                   c.output, "/model"));
  for (const char* setting : {"train.epochs=7", "train.seed=1", "data.batch_size=4", "objective.label_smoothing=0.1",
                              "eval.every_epochs=0", "train.precision=f64"}) {
    const std::string key = std::string(setting).substr(0, std::string(setting).find('='));
    EXPECT_TRUE(error_with(setting).starts_with("[train] " + key + " is ")) << setting;
  }
  for (const char* setting : {"train.threads=2", "data.workers=0", "train.save_steps=1", "train.keep_checkpoints=9",
                              "train.max_bad_steps=2", "train.detect_anomaly=true"})
    EXPECT_EQ(error_with(setting), "") << setting;
}

TEST_F(CheckpointedRun, OtherDataIsRefused) {
  Config c = long_config();
  c.output = new_folder();
  run_until(c, 3);
  const std::string table = data_.path() + "/captions.tsv", rows = io::read_file(table);
  io::write_file(table, rows + "red_rows.png\ttrain\tmore\tmore\n");
  ClipTask task(c);
  EXPECT_TRUE(
      contains(error_of([&] { Trainer::resumed(task, c, "latest"); }), "has 17 samples, the run was started with 16"));
}

TEST_F(CheckpointedRun, APlanByMinutesIsKept) {
  Config c = long_config();
  c.train.minutes = 0.03;  // many more steps than are taken before the stop, on a slow machine too
  c.output = new_folder();
  run_until(c, 12);  // the trial steps before count as well
  const std::int64_t planned = resume(c).steps;
  EXPECT_EQ(lines_of(c.output + "/metrics.jsonl").back()["step"], planned);
}

// Files that may not grow beyond a size, as on a full disk.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) {
    former_handler_ = std::signal(SIGXFSZ, SIG_IGN);  // write() says EFBIG then
    ::getrlimit(RLIMIT_FSIZE, &former_);
    rlimit limit = former_;
    limit.rlim_cur = bytes;
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FullDisk() {
    ::setrlimit(RLIMIT_FSIZE, &former_);
    std::signal(SIGXFSZ, former_handler_);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

 private:
  rlimit former_{};
  void (*former_handler_)(int);
};

struct FillsTheDisk {
  int* calls;
  int at;
  std::optional<FullDisk>* disk;
  objectives::Loss operator()(const objectives::Embeddings& e, const nn::Ctx& ctx) const {
    if (++*calls == at) disk->emplace(10000);  // enough for a line of the log, not for the model
    return (*make_objective({}))(e, ctx);
  }
};

TEST_F(CheckpointedRun, AFullDiskLeavesTheCheckpointBefore) {
  Config c = long_config();
  const Outcome whole = run(c);
  c.output = new_folder();
  c.train.save_steps = 2;
  int calls = 0;
  {
    std::optional<FullDisk> disk;
    ClipTask task(c, FillsTheDisk{&calls, 5, &disk});
    Trainer trainer(task, c);
    const std::string error = error_of([&] { trainer.run(); });  // the model at the end has no room either
    EXPECT_TRUE(contains(error, "model/model.safetensors: File too large")) << error;
  }
  EXPECT_EQ(calls, 12);
  EXPECT_EQ(names_in(c.output + "/checkpoints"), (std::vector<std::string>{"last", "step-2", "step-4"}));
  expect_same_run(resume(c), whole);
}

TEST_F(CheckpointedRun, AnInvitationToFailIsDeclinedAtTheStart) {
  Config c = long_config();
  c.output = new_folder();
  ClipTask task(c);
  Trainer trainer(task, c);
  const FullDisk disk(10000);
  const std::string error = error_of([&] { trainer.run(); });
  EXPECT_TRUE(contains(error, "checkpoints/step-0.tmp/model.safetensors: File too large")) << error;
  EXPECT_TRUE(names_in(c.output + "/checkpoints").empty());
}

}  // namespace
}  // namespace fovea::train
