// Training on webdataset shards: resumed to the same bits, scored on other data.
#include "../support/tar_bytes.h"
#include "fovea/data/table.h"
#include "fovea/io/tar.h"
#include "trainer_run.h"

namespace fovea::train {
namespace {

class StreamedRun : public TrainerRun {
 protected:
  void SetUp() override {
    const std::string error = error_of([] { io::TarReader reader("/no/such"); });
    if (contains(error, "has no libarchive")) GTEST_SKIP() << "this build has no libarchive";
    write_shards();
  }

  // The 16 training pairs in three shards, of which the first is compressed; one picture is cut off, one caption empty.
  void write_shards() const {
    const auto table = data::Table::read(data_.path() + "/captions.tsv");
    std::string shards[3];
    for (int row = 0; row < 16; ++row) {
      const std::string name = std::string(table.cell(row, table.column("image")));
      std::string picture = io::read_file(data_.path() + "/" + name);
      if (row == 4) picture.resize(picture.size() / 2);
      const std::string caption = row == 9 ? "" : std::string(table.cell(row, table.column("caption")));
      shards[row % 3] +=
          tests::tar_entry({concat(row, ".png"), picture}) + tests::tar_entry({concat(row, ".txt"), caption});
    }
    shards_.write("0.tar.gz", tests::gzip_stored(shards[0] + tests::tar_end));
    for (int i : {1, 2}) shards_.write(concat(i, ".tar"), shards[i] + tests::tar_end);
  }

  Config streamed() const {
    Config c = config();
    c.data.path = shards_.path();
    c.data.batch_size = 6;
    c.data.shuffle_buffer = 4;
    c.data.transform = R"({"augment": {"affine": {"rotation": 20}}})";
    c.train.epochs = 4;
    c.train.save_minutes = 0;
    c.train.save_steps = 1;
    c.train.keep_checkpoints = 100;
    return c;
  }

  tests::TempFolder shards_;
};

TEST_F(StreamedRun, GoesOnToTheSameBitsFromAnyStep) {
  for (const int accum : {1, 2}) {  // 3 batches an epoch: with 2 of them in a step, one is left over
    Config c = streamed();
    c.train.accum_freq = accum;
    c.data.workers = 2;
    const Outcome whole = run(c);
    EXPECT_EQ(whole.steps, accum == 1 ? 12 : 4);
    EXPECT_EQ(whole.lines.size(), static_cast<std::size_t>(whole.steps));  // shards are not scored
    c.output = whole.folder;
    for (const int step : {0, 1, 3}) {
      c.data.workers = step;
      ClipTask task(c);
      Trainer trainer = Trainer::resumed(task, c, concat(c.output, "/checkpoints/step-", step));
      EXPECT_TRUE(trainer.run());
      EXPECT_EQ(without_timings(lines_of(c.output + "/metrics.jsonl")), without_timings(whole.lines));
      EXPECT_TRUE(io::read_file(c.output + "/model/model.safetensors") == whole.weights);
    }
  }
}

TEST_F(StreamedRun, LearnsAndIsScoredOnOtherData) {
  Config c = streamed();
  c.data.batch_size = 14;
  c.data.num_samples = 28;
  c.train.epochs = 20;
  c.eval.path = data_.path();
  c.eval.splits = {"train", "test"};
  const Outcome done = run(c);
  EXPECT_EQ(done.steps, 40);
  const Json& scores = done.lines.back()["eval"];
  EXPECT_EQ(scores["test"]["t2i"]["candidates"], 8);
  EXPECT_GE(scores["train"]["i2t"]["r1"].get<double>(), 60);
  const Config full = load_config(done.folder + "/config.json");
  EXPECT_EQ(full.data.num_samples, 28);
  c.eval.splits = {"all"};
  c.eval.path = shards_ / "{1..2}.tar";  // a webdataset is scored as a whole
  c.train.epochs = 1;
  EXPECT_EQ(run(c).lines.back()["eval"]["val"]["i2t"]["queries"], 9);
}

TEST_F(StreamedRun, WhatIsSkippedIsCountedInTheReport) {
  Config c = streamed();
  c.train.epochs = 1;
  EXPECT_TRUE(contains(io::read_file(run(c).folder + "/report.html"), "could not be used"));
}

TEST_F(StreamedRun, WrongConfigurationsAreRefused) {
  Config c = streamed();
  c.eval.splits = {"test"};
  EXPECT_TRUE(contains(error_of([&] { ClipTask task(c); }), "eval.splits names \"test\", but the data have no splits"));
  c = config();
  c.data.num_samples = 5;
  EXPECT_TRUE(contains(error_of([&] { ClipTask task(c); }), "data.upsampling_factors belong to webdataset shards, "));
  c = config();
  c.data.join = "labels.tsv";
  EXPECT_TRUE(contains(error_of([&] { ClipTask task(c); }), "data.join and data.join_column belong together"));
  c = config();
  c.data.dataset_type = "webdataset";
  EXPECT_TRUE(contains(error_of([&] { ClipTask task(c); }), "holds no tar archive"));
}

// Every caption is a pair of its own: two columns make twice as many.
TEST_F(TrainerRun, EveryCaptionMayBeAPair) {
  Config c = config();
  c.data.caption_columns = {"caption", "keywords"};
  c.data.every_caption = true;
  EXPECT_EQ(ClipTask(c).loader().size(), 32);
}

}  // namespace
}  // namespace fovea::train
