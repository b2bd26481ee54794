// Whole runs of tiny models on drawn pictures.
#pragma once

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "../support/error_of.h"
#include "../support/tiny_clip.h"
#include "fovea/core/log.h"
#include "fovea/core/parallel.h"
#include "fovea/io/file.h"
#include "fovea/train/clip_task.h"
#include "fovea/train/trainer.h"

namespace fovea::train {

using Json = nlohmann::ordered_json;
using tests::tiny_resnet_cbow;
using tests::tiny_vit_transformer;

inline std::vector<Json> lines_of(const std::string& path) {
  std::istringstream in(io::read_file(path));
  std::vector<Json> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(Json::parse(line));
  return lines;
}

// Training lines without what depends on the clock and on what the loader makes ahead.
inline std::vector<Json> without_timings(std::vector<Json> lines) {
  for (Json& line : lines) {
    for (const char* key : {"pairs_per_s", "data_wait_ms", "step_ms", "live_mb", "peak_mb"}) line.erase(key);
  }
  return lines;
}

inline std::vector<double> losses(const std::vector<Json>& lines) {
  std::vector<double> found;
  for (const Json& line : lines) {
    if (line.contains("loss")) found.push_back(line["loss"].get<double>());
  }
  return found;
}

using tests::error_of;

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// What a run leaves behind.
struct Outcome {
  std::string folder;
  std::vector<Json> lines;
  std::string weights;  // bytes of model.safetensors
  std::int64_t steps = 0;
};

class TrainerRun : public ::testing::Test {
 protected:
  TrainerRun() {
    log::set_quiet(true);
    set_num_threads(1);  // more would only wait for each other on models of this size
  }
  ~TrainerRun() override {
    log::set_quiet(false);
    set_num_threads(threads_before_);
  }

  // 16 pairs, one batch an epoch, every step logged.
  Config config(const std::string& model = tiny_resnet_cbow) const {
    Config c;
    c.model = model;
    c.data.path = data_.path();
    c.data.batch_size = 16;
    c.optim.lr = 3e-3;
    c.train.epochs = 4;
    c.train.log_every = 1;
    c.eval.splits = {};
    return c;
  }

  std::string new_folder() { return runs_ / std::to_string(runs_made_++); }

  Outcome run(Config c) {
    c.output = new_folder();
    ClipTask task(c);
    return run(task, c);
  }
  static Outcome run(Task& task, const Config& c) {
    Trainer trainer(task, c);
    trainer.run();
    return {c.output, lines_of(c.output + "/metrics.jsonl"), io::read_file(c.output + "/model/model.safetensors"),
            trainer.total_steps()};
  }

  const tests::TinyData data_;
  const tests::TempFolder runs_;
  int runs_made_ = 0;
  const int threads_before_ = num_threads();
};

inline void expect_same_run(const Outcome& a, const Outcome& b) {
  EXPECT_EQ(without_timings(a.lines), without_timings(b.lines));
  EXPECT_TRUE(a.weights == b.weights) << "the final weights differ";
}

}  // namespace fovea::train
