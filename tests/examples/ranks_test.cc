// The trainer under mpirun: whole runs, a killed rank, a stop, going on with another number of ranks.
#include <gtest/gtest.h>

#include "../support/mpirun.h"

#ifdef FOVEA_MPIRUN

#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "../support/tiny_clip.h"
#include "fovea/io/file.h"
#include "fovea/train/config.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;
using tests::Finished;

class TrainingOnRanks : public ::testing::Test {
 protected:
  TrainingOnRanks() {
    train::Config config;
    config.model = tests::tiny_vit_transformer;
    config.data.path = data_.path();
    config.data.batch_size = 8;
    config.train.epochs = 4;
    config.train.log_every = 1;
    config.train.save_steps = 2;
    config.eval.splits = {"test"};
    folder_.write("config.json", train::dump_config(config));
  }

  std::string trainer(const std::string& output, const std::string& more) const {
    return concat(FOVEA_PROGRAMS_DIR "/train_clip --config ", folder_ / "config.json", " --output ", output,
                  " --threads 1 ", more);
  }
  Finished run(int ranks, const std::string& output, const std::string& more = "") const {
    return tests::run_command(tests::mpirun(ranks) + trainer(output, more));
  }
  static std::vector<double> losses(const std::string& output) {
    std::istringstream in(io::read_file(output + "/metrics.jsonl"));
    std::vector<double> found;
    for (std::string line; std::getline(in, line);) {
      const auto json = nlohmann::json::parse(line);
      if (json.contains("loss")) found.push_back(json["loss"].get<double>());
    }
    return found;
  }
  static std::string weights(const std::string& output) { return io::read_file(output + "/model/model.safetensors"); }

  // mpirun in the background, once its run has saved a checkpoint.
  pid_t start_long_run(int ranks, const std::string& output) const {
    const std::string command =
        concat("exec ", tests::mpirun(ranks).substr(std::string("timeout 100 ").size()),
               trainer(output, "--epochs 100000 --set eval.splits=[]"), " > ", folder_ / "log", " 2>&1");
    const pid_t child = ::fork();
    if (child == 0) {
      ::execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
      ::_exit(127);
    }
    for (int i = 0; i < 6000 && !fs::exists(output + "/checkpoints/step-4"); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    EXPECT_TRUE(fs::exists(output + "/checkpoints/last")) << log();
    return child;
  }
  static int wait_for(pid_t child) {
    int status = 0;
    for (int i = 0; i < 6000; ++i) {
      if (::waitpid(child, &status, WNOHANG) == child) return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    ADD_FAILURE() << "mpirun did not end within a minute";
    ::kill(child, SIGKILL);
    ::waitpid(child, &status, 0);
    return 255;
  }
  // Neither gone nor waiting for a parent to take note of its end.
  static bool still_runs(pid_t process) {
    std::ifstream in(concat("/proc/", process, "/stat"));
    std::string id, name, state;
    return in >> id >> name >> state && state != "Z";
  }
  std::string log() const { return io::read_file(folder_ / "log"); }

  const tests::TinyData data_;
  const tests::TempFolder folder_;
};

TEST_F(TrainingOnRanks, GivesTheRunOfOneRankAndTheSameBitsAgain) {
  const std::string one = folder_ / "one", three = folder_ / "two", again = folder_ / "again";
  ASSERT_EQ(tests::run_command(trainer(one, "")).status, 0);
  const Finished many = run(2, three);
  ASSERT_EQ(many.status, 0) << many.output;
  EXPECT_TRUE(many.says("2 ranks, each with 4 of 8 pairs of a batch")) << many.output;
  EXPECT_EQ(many.count("the model is in"), 1) << many.output;
  const std::vector<double> expected = losses(one), ours = losses(three);
  ASSERT_EQ(expected.size(), 8u);
  ASSERT_EQ(ours.size(), expected.size());
  for (std::size_t i = 0; i < ours.size(); ++i) EXPECT_NEAR(ours[i], expected[i], 1e-4) << i;
  ASSERT_EQ(run(2, again).status, 0);
  EXPECT_TRUE(weights(again) == weights(three)) << "the final weights differ";
}

TEST_F(TrainingOnRanks, AKilledRankEndsTheJobAndTheRunGoesOnAtAnotherNumber) {
  const std::string output = folder_ / "killed";
  const pid_t job = start_long_run(2, output);
  std::ifstream children(concat("/proc/", job, "/task/", job, "/children"));
  std::vector<pid_t> ranks;
  for (pid_t child = 0; children >> child;) ranks.push_back(child);
  ASSERT_EQ(ranks.size(), 2u);
  ::kill(ranks[1], SIGKILL);
  EXPECT_NE(wait_for(job), 0);
  EXPECT_NE(log().find("process rank 1"), std::string::npos) << log();
  EXPECT_NE(log().find("signal 9"), std::string::npos) << log();
  bool runs = true;
  for (int i = 0; i < 500 && runs; ++i) {
    runs = still_runs(ranks[0]);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_FALSE(runs) << "rank 0 is still there";
  const std::size_t before = losses(output).size();
  // It goes on, here to the next Ctrl-C.
  const Finished resumed = tests::run_command(
      "timeout --signal=USR1 3 " + tests::mpirun(4).substr(std::string("timeout 100 ").size()) +
      trainer(output, "--resume latest --epochs 100000 --set eval.splits=[]"));
  EXPECT_TRUE(resumed.says("going on from ")) << resumed.output;
  EXPECT_TRUE(resumed.says("a checkpoint is saved in ")) << resumed.output;
  EXPECT_GT(losses(output).size(), before);
}

TEST_F(TrainingOnRanks, DifferentConfigurationsAreRefused) {
  const std::string first = trainer(folder_ / "a", "--seed 1"), second = trainer(folder_ / "a", "--seed 2");
  const Finished done = tests::run_command(concat(tests::mpirun(1), first, " : -n 1 ", second));
  EXPECT_NE(done.status, 0);
  EXPECT_TRUE(done.says("[train] train.seed is 2 on rank 1 (process ")) << done.output;
  EXPECT_EQ(done.count("[train] train.seed is"), 1) << done.output;
}

TEST_F(TrainingOnRanks, WhatIsWrongEverywhereIsSaidOnce) {
  const Finished done = run(3, folder_ / "uneven");
  EXPECT_NE(done.status, 0);
  EXPECT_EQ(done.count("[loader] batches of 8 cannot be shared evenly by 3 ranks"), 1) << done.output;
}

}  // namespace
}  // namespace fovea

#else

TEST(TrainingOnRanks, NeedsMpi) { GTEST_SKIP() << "MPI was not found (Debian: libopenmpi-dev openmpi-bin)"; }

#endif
