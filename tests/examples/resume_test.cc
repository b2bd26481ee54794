// The trainer as a process that is stopped, killed, or out of disk space, and goes on.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "../support/tiny_clip.h"
#include "fovea/io/file.h"
#include "fovea/train/config.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }
void sleep_for(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }
double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

class TrainingProcess : public ::testing::Test {
 protected:
  // `epochs` epochs of two steps, a checkpoint after every second.
  void set_up(std::int64_t epochs) {
    train::Config config;
    config.model = tests::tiny_resnet_cbow;
    config.data.path = data_.path();
    config.data.batch_size = 8;
    config.data.transform = R"({"augment": {"affine": {"rotation": 20}}})";
    config.optim.ema_decay = 0.9;
    config.train.epochs = epochs;
    config.train.log_every = 3;
    config.train.save_steps = 2;
    config.eval.splits = {"test"};
    config.eval.every_epochs = 5;
    folder_.write("config.json", train::dump_config(config));
  }

  pid_t start(const std::string& output, std::vector<std::string> more = {}) const {
    std::vector<std::string> arguments{
        FOVEA_PROGRAMS_DIR "/train_clip", "--config", folder_ / "config.json", "--output", output, "--threads", "1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    std::vector<char*> raw;
    for (std::string& argument : arguments) raw.push_back(argument.data());
    raw.push_back(nullptr);
    const pid_t child = ::fork();
    if (child == 0) {
      std::FILE* errors = std::freopen((folder_ / "errors").c_str(), "w", stderr);
      if (errors != nullptr) ::execv(raw[0], raw.data());
      ::_exit(127);
    }
    return child;
  }
  // The exit code, or minus the signal that ended it.
  static int wait_for(pid_t child) {
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  int run(const std::string& output, std::vector<std::string> more = {}) const {
    return wait_for(start(output, std::move(more)));
  }
  std::string errors() const { return io::read_file(folder_ / "errors"); }
  static std::string weights(const std::string& output) { return io::read_file(output + "/model/model.safetensors"); }
  // metrics.jsonl without what depends on the clock.
  static std::vector<nlohmann::json> metrics(const std::string& output) {
    std::istringstream in(io::read_file(output + "/metrics.jsonl"));
    std::vector<nlohmann::json> lines;
    for (std::string line; std::getline(in, line);) {
      lines.push_back(nlohmann::json::parse(line));
      for (const char* key : {"pairs_per_s", "data_wait_ms", "step_ms", "live_mb", "peak_mb"}) lines.back().erase(key);
    }
    return lines;
  }
  static void wait_until_exists(const std::string& path) {
    for (int i = 0; i < 6000 && !fs::exists(path); ++i) sleep_for(0.005);
    ASSERT_TRUE(fs::exists(path)) << path;
  }

  // Kills runs at `kills` random moments; each goes on and must end as the one that never stopped.
  void kill_and_resume(int kills) {
    const std::string whole = folder_ / "whole";
    const double begin = now();
    ASSERT_EQ(run(whole), 0) << errors();
    const double duration = now() - begin;
    std::mt19937 random(std::random_device{}());
    for (int kill = 0; kill < kills; ++kill) {
      const double moment = std::uniform_real_distribution<double>(0, duration)(random);
      SCOPED_TRACE(concat("killed after ", moment, " s of ", duration));
      const std::string output = folder_ / concat("killed-", kill);
      const pid_t child = start(output);
      sleep_for(moment);
      ::kill(child, SIGKILL);
      wait_for(child);
      ASSERT_EQ(run(output, {"--resume", "latest"}), 0) << errors();
      EXPECT_FALSE(contains(errors(), "is damaged")) << errors();
      EXPECT_TRUE(weights(output) == weights(whole)) << "the final weights differ";
      EXPECT_EQ(metrics(output), metrics(whole));
      fs::remove_all(output);
    }
  }

  // One run that is killed again and again; after kill_and_resume.
  void kill_one_run(int kills) {
    const std::string whole = folder_ / "whole", output = folder_ / "often";
    std::mt19937 random(std::random_device{}());
    for (int kill = 0; kill < kills; ++kill) {
      const pid_t child = start(output, {"--resume", "latest"});
      sleep_for(std::uniform_real_distribution<double>(0, 0.4)(random));
      ::kill(child, SIGKILL);
      wait_for(child);
    }
    ASSERT_EQ(run(output, {"--resume", "latest"}), 0) << errors();
    EXPECT_TRUE(weights(output) == weights(whole)) << "the final weights differ";
    EXPECT_EQ(metrics(output), metrics(whole));
  }

  const tests::TinyData data_;
  const tests::TempFolder folder_;
};

TEST_F(TrainingProcess, IsKilledAndGoesOnToTheSameWeights) {
  set_up(10);
  kill_and_resume(2);
}

TEST_F(TrainingProcess, SlowTwentyKillsAtRandomMomentsGiveTheSameWeights) {
  set_up(30);
  kill_and_resume(20);
  kill_one_run(20);
}

TEST_F(TrainingProcess, SavesAndEndsWellWhenAskedToStop) {
  for (const int signal : {SIGINT, SIGTERM}) {
    set_up(signal == SIGINT ? 100000 : 20);
    const std::string output = folder_ / concat("stopped-", signal);
    pid_t child = start(output);
    wait_until_exists(output + "/checkpoints/step-2");
    ::kill(child, signal);
    ASSERT_EQ(wait_for(child), 0) << errors();
    if (signal == SIGINT) {
      EXPECT_TRUE(contains(errors(), concat("to go on: train_clip --output ", output, " --resume latest"))) << errors();
      EXPECT_FALSE(fs::exists(output + "/model"));
      continue;
    }
    ASSERT_EQ(run(folder_ / "whole"), 0) << errors();
    ASSERT_EQ(run(output, {"--resume", "latest"}), 0) << errors();
    EXPECT_TRUE(weights(output) == weights(folder_ / "whole"));
    EXPECT_EQ(metrics(output), metrics(folder_ / "whole"));
  }
}

// A file system of a few kilobytes; mounting one takes the rights to.
class SmallDisk {
 public:
  explicit SmallDisk(std::string path) : path_(std::move(path)) {
    fs::create_directories(path_);
    mounted_ = ::mount("tmpfs", path_.c_str(), "tmpfs", 0, "size=1200k") == 0;
  }
  ~SmallDisk() {
    if (mounted_) ::umount2(path_.c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  bool mounted() const { return mounted_; }
  bool grow() const { return ::mount("tmpfs", path_.c_str(), "tmpfs", MS_REMOUNT, "size=64m") == 0; }

 private:
  std::string path_;
  bool mounted_;
};

TEST_F(TrainingProcess, KeepsItsCheckpointWhenTheDiskIsFull) {
  set_up(10);
  const SmallDisk disk(folder_ / "disk");
  if (!disk.mounted()) GTEST_SKIP() << "no rights to mount a file system";
  const std::string output = folder_ / "disk/run";
  run(output);
  EXPECT_TRUE(contains(errors(), "No space left on device")) << errors();
  EXPECT_TRUE(contains(errors(), "no checkpoint of step ")) << errors();
  const std::string last = io::read_file(output + "/checkpoints/last");
  EXPECT_TRUE(fs::exists(output + "/checkpoints/" + last.substr(0, last.size() - 1) + "/state.json")) << last;
  for (const auto& entry : fs::directory_iterator(output + "/checkpoints"))
    EXPECT_FALSE(contains(entry.path().string(), ".tmp")) << entry.path();

  ASSERT_TRUE(disk.grow());
  ASSERT_EQ(run(output, {"--resume", "latest"}), 0) << errors();
  ASSERT_EQ(run(folder_ / "whole"), 0) << errors();
  EXPECT_TRUE(weights(output) == weights(folder_ / "whole"));
  EXPECT_EQ(metrics(output), metrics(folder_ / "whole"));
}

TEST_F(TrainingProcess, RefusesToGoOnWithSomethingElse) {
  set_up(2);
  ASSERT_EQ(run(folder_ / "run"), 0) << errors();
  EXPECT_EQ(run(folder_ / "run", {"--resume", "latest", "--lr", "0.5"}), 1);
  EXPECT_TRUE(contains(errors(), "[train] optim.lr is 0.5, the run in ")) << errors();
  EXPECT_EQ(run(folder_ / "run", {"--resume", folder_ / "run/checkpoints/step-2"}), 0) << errors();
  EXPECT_EQ(run(folder_ / "run", {"--resume", folder_ / "run/checkpoints/step-3"}), 1);
  EXPECT_TRUE(contains(errors(), "step-3 is not a folder")) << errors();
}

}  // namespace
}  // namespace fovea
