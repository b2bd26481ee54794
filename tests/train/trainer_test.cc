// Whole runs on a tiny data set: the same bits, learning, what is written, and every way to start a run wrongly.
#include "fovea/train/trainer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "../support/error_of.h"
#include "../support/tiny_clip.h"
#include "fovea/core/log.h"
#include "fovea/core/parallel.h"
#include "fovea/eval/clip_retrieval.h"
#include "fovea/io/file.h"
#include "fovea/models/clip_folder.h"
#include "fovea/objectives/info_nce.h"
#include "fovea/ops/elementwise.h"
#include "fovea/train/clip_task.h"

namespace fovea::train {
namespace {

using Json = nlohmann::ordered_json;
using tests::tiny_resnet_cbow;
using tests::tiny_vit_transformer;

std::vector<Json> lines_of(const std::string& path) {
  std::istringstream in(io::read_file(path));
  std::vector<Json> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(Json::parse(line));
  return lines;
}

// Training lines without what depends on the clock.
std::vector<Json> without_timings(std::vector<Json> lines) {
  for (Json& line : lines) {
    for (const char* key : {"pairs_per_s", "data_wait_ms", "step_ms"}) line.erase(key);
  }
  return lines;
}

std::vector<double> losses(const std::vector<Json>& lines) {
  std::vector<double> found;
  for (const Json& line : lines) {
    if (line.contains("loss")) found.push_back(line["loss"].get<double>());
  }
  return found;
}

using tests::error_of;

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

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

void expect_same_run(const Outcome& a, const Outcome& b) {
  EXPECT_EQ(without_timings(a.lines), without_timings(b.lines));
  EXPECT_TRUE(a.weights == b.weights) << "the final weights differ";
}

TEST_F(TrainerRun, TheSameSeedGivesTheSameBitsWithAnyThreadsAndWorkers) {
  for (const char* model : {tiny_resnet_cbow, tiny_vit_transformer}) {
    Config c = config(model);
    c.data.batch_size = 8;
    c.train.epochs = 2;
    c.data.transform = R"({"augment": {"affine": {"rotation": 20}, "color": {"contrast": 0.3}}})";
    c.eval.splits = {"test"};
    c.data.workers = 0;
    set_num_threads(1);
    const Outcome first = run(c);
    EXPECT_EQ(losses(first.lines).size(), 4u);
    const std::pair<int, int> threads_and_workers[]{{1, 1}, {2, 0}, {2, 2}};
    for (const auto& [threads, workers] : threads_and_workers) {
      set_num_threads(threads);
      c.data.workers = workers;
      SCOPED_TRACE(concat(threads, " threads, ", workers, " workers"));
      expect_same_run(run(c), first);
    }
  }
}

TEST_F(TrainerRun, AnotherSeedGivesOtherNumbers) {
  Config c = config();
  const Outcome first = run(c);
  c.train.seed = 1;
  const Outcome other = run(c);
  EXPECT_NE(losses(first.lines), losses(other.lines));
  EXPECT_FALSE(first.weights == other.weights);
}

TEST_F(TrainerRun, LearnsPairsByHeart) {
  for (const char* model : {tiny_resnet_cbow, tiny_vit_transformer}) {
    Config c = config(model);
    c.train.epochs = 30;
    c.eval.splits = {"train"};
    const Outcome done = run(c);
    const std::vector<double> loss = losses(done.lines);
    EXPECT_GT(loss.front(), std::log(16.0) / 2);
    EXPECT_LT(loss.back(), std::log(16.0) / 2);
    for (const char* direction : {"i2t", "t2i"})
      EXPECT_GE(done.lines.back()["eval"]["train"][direction]["r1"].get<double>(), 90) << model << direction;
  }
}

TEST_F(TrainerRun, LogsWhatTheStepsDid) {
  Config c = config();
  c.train.log_every = 3;
  c.schedule.warmup_steps = 2;
  c.eval.splits = {"train", "test"};
  const Outcome coarse = run(c);
  c.train.log_every = 1;
  const Outcome fine = run(c);

  std::vector<std::string> keys;
  for (const auto& [key, value] : coarse.lines.front().items()) keys.push_back(key);
  EXPECT_EQ(keys, (std::vector<std::string>{"step", "epoch", "loss", "loss_i2t", "loss_t2i", "logit_scale", "lr",
                                            "grad_norm", "pairs_per_s", "data_wait_ms", "step_ms"}));
  ASSERT_EQ(coarse.lines.size(), 3u);  // steps 3 and 4, and the scores
  EXPECT_EQ(coarse.lines[0]["step"], 3);
  EXPECT_EQ(coarse.lines[1]["step"], 4);
  const std::vector<double> steps = losses(fine.lines);
  ASSERT_EQ(steps.size(), 4u);
  EXPECT_NEAR(coarse.lines[0]["loss"].get<double>(), (steps[0] + steps[1] + steps[2]) / 3, 1e-12);
  EXPECT_EQ(coarse.lines[1]["loss"].get<double>(), steps[3]);  // the mean starts anew after a line

  const double rates[] = {0.5, 1, 1, 0.5};  // warm-up of 2, then half a cosine over 2
  for (std::size_t i = 0; i < 4; ++i) {
    const Json& line = fine.lines[i];
    EXPECT_NEAR(line["lr"].get<double>(), c.optim.lr * rates[i], 1e-15);
    EXPECT_EQ(line["epoch"], static_cast<double>(i + 1));
    EXPECT_NEAR(line["loss"].get<double>(), (line["loss_i2t"].get<double>() + line["loss_t2i"].get<double>()) / 2,
                1e-6);
    EXPECT_GT(line["grad_norm"].get<double>(), 0);
    EXPECT_GT(line["pairs_per_s"].get<double>(), 0);
    EXPECT_GT(line["step_ms"].get<double>(), 0);
    EXPECT_GE(line["data_wait_ms"].get<double>(), 0);
  }
  const Json& scores = fine.lines.back();
  EXPECT_EQ(scores["step"], 4);
  ASSERT_EQ(scores["eval"].size(), 2u);
  for (const char* split : {"train", "test"}) {
    for (const char* direction : {"i2t", "t2i"}) {
      const Json& s = scores["eval"][split][direction];
      EXPECT_LE(s["r1"].get<double>(), s["r5"].get<double>());
      EXPECT_LE(s["r5"].get<double>(), s["r10"].get<double>());
      EXPECT_GE(s["median_rank"].get<int>(), 1);
      EXPECT_EQ(s["candidates"], std::string(split) == "train" ? 16 : 8);
    }
  }
}

TEST_F(TrainerRun, TheModelFolderGivesTheSameScores) {
  Config c = config();
  c.eval.splits = {"test"};
  const Outcome done = run(c);
  const models::ClipFolder clip = models::load_clip(done.folder + "/model");
  data::DatasetOptions options;
  options.split = "test";
  const eval::Retrieval scores = eval::clip_retrieval({clip.model, clip.tokenizer, clip.transform, 3},
                                                      data::ImageTextDataset(data_.path(), options));
  const std::vector<SplitScores> splits{{"test", scores.i2t, scores.t2i}};
  EXPECT_EQ(Json::parse(evaluation_line(4, splits)), done.lines.back());
}

TEST_F(TrainerRun, WritesAReport) {
  Config c = config();
  c.eval.splits = {"test"};
  const std::string report = io::read_file(run(c).folder + "/report.html");
  for (const char* part : {"Parameters", "Training time", "test", "batch_size"})
    EXPECT_TRUE(contains(report, part)) << part;
  EXPECT_FALSE(contains(report, "could not be used"));
}

TEST_F(TrainerRun, TheRunFoldersConfigurationRepeatsTheRun) {
  Config c = config("\"small-resnet-cbow\"");
  c.data.batch_size = 4;
  c.train.epochs = 1;
  const Outcome first = run(c);
  const Config full = load_config(first.folder + "/config.json");
  EXPECT_EQ(Json::parse(full.model)["image"]["channels"], Json({32, 64, 128, 256}));
  EXPECT_EQ(Json::parse(full.data.transform)["size"], 64);
  EXPECT_EQ(Json::parse(full.data.transform)["interpolation"], "bicubic");
  expect_same_run(run(full), first);
}

TEST_F(TrainerRun, TheTransformsSizeIsTheModels) {
  Config c = config();
  c.data.transform = R"({"resize_mode": "squash"})";
  EXPECT_EQ(ClipTask(c).loader().next().images.shape(), (Shape{16, 16, 16, 3}));
  c.data.transform = R"({"size": 32})";
  EXPECT_EQ(error_of([&] { ClipTask task(c); }),
            "[train] data.transform.size is 32, the model expects pictures of 16 pixels");
}

TEST_F(TrainerRun, ARunIsNeverOverwritten) {
  Config c = config();
  c.train.epochs = 1;
  const Outcome first = run(c);
  c.output = first.folder;
  c.train.seed = 5;
  const std::string config_before = io::read_file(c.output + "/config.json");
  ClipTask task(c);
  const std::string error = error_of([&] { Trainer trainer(task, c); });
  EXPECT_EQ(error, concat("[train] ", first.folder,
                          " already holds a run\nhint: choose another output, or move the old run away"));
  EXPECT_EQ(lines_of(c.output + "/metrics.jsonl"), first.lines);
  EXPECT_EQ(io::read_file(c.output + "/config.json"), config_before);
  EXPECT_TRUE(io::read_file(c.output + "/model/model.safetensors") == first.weights);
}

TEST_F(TrainerRun, AStartThatFailedIsNoRun) {
  Config c = config();
  c.train.epochs = 1;
  c.output = new_folder();
  ClipTask task(c);
  { Trainer not_run(task, c); }
  EXPECT_EQ(run(task, c).lines.size(), 1u);
}

TEST_F(TrainerRun, RunFoldersThatCannotBeMadeAreNamed) {
  Config c = config();
  ClipTask task(c);
  runs_.write("file", "");
  c.output = runs_ / "file/run";
  EXPECT_TRUE(contains(error_of([&] { Trainer trainer(task, c); }), "cannot create the run folder " + c.output));
  c.output = "";
  EXPECT_EQ(error_of([&] { Trainer trainer(task, c); }), "[train] output is empty, expected the run folder's name");
}

TEST_F(TrainerRun, MinutesDecideTheStepsAndTheTrialLeavesNoTrace) {
  for (const double minutes : {1e-6, 0.003}) {  // one step, which running statistics do not forget; and many
    Config c = config();
    c.train.minutes = minutes;
    const Outcome timed = run(c);
    ASSERT_GE(timed.steps, 1);
    EXPECT_EQ(timed.lines.size(), static_cast<std::size_t>(timed.steps));
    c.train.minutes = 0;
    c.train.epochs = timed.steps;  // one batch an epoch
    expect_same_run(run(c), timed);
  }
}

TEST_F(TrainerRun, FrozenParametersStay) {
  Config c = config();
  c.output = new_folder();
  ClipTask task(c);
  nn::freeze(task.parameters(), {"vision_model.*"});
  std::map<std::string, Tensor> before;
  for (const nn::ParamEntry& entry : task.parameters()) before[entry.path] = entry.value().clone();
  run(task, c);
  int moved = 0;
  for (const nn::ParamEntry& entry : task.parameters()) {
    const Tensor now = entry.value();
    const bool same = std::memcmp(now.raw(), before[entry.path].raw(), static_cast<std::size_t>(now.bytes())) == 0;
    EXPECT_TRUE(same || !entry.path.starts_with("vision_model.")) << entry.path;
    moved += same ? 0 : 1;
  }
  EXPECT_EQ(moved, 4);  // the embedding, both projections, the temperature
}

TEST_F(TrainerRun, ALossThatIsNotFiniteEndsTheRunAndKeepsTheLog) {
  struct NanFromThirdStep {
    int* calls;
    objectives::Loss operator()(const objectives::Embeddings& e, const nn::Ctx& ctx) const {
      objectives::Loss loss = objectives::InfoNce{}(e, ctx);
      if (++*calls == 3) loss.total = ops::mul(loss.total, std::nan(""));
      return loss;
    }
  };
  Config c = config();
  c.output = new_folder();
  int calls = 0;
  ClipTask task(c, NanFromThirdStep{&calls});
  Trainer trainer(task, c);
  const std::string error = error_of([&] { trainer.run(); });
  EXPECT_TRUE(contains(error, "[train] the loss is nan")) << error;
  EXPECT_TRUE(contains(error, "at step 3\nhint: lower optim.lr")) << error;
  EXPECT_EQ(lines_of(c.output + "/metrics.jsonl").size(), 2u);
  for (const nn::ParamEntry& entry : task.parameters()) {
    if (entry.leaf->is_buffer()) continue;
    EXPECT_TRUE(std::isfinite(entry.value().at(0))) << entry.path;
  }
}

TEST_F(TrainerRun, AveragedWeightsAreWhatIsSavedAndScored) {
  Config c = config();
  c.schedule.warmup_fraction = 0;
  c.optim.lr = 1e-3;
  c.train.epochs = 2;
  c.eval.splits = {"train"};
  const Outcome plain = run(c);
  c.optim.ema_decay = 0.75;
  c.optim.ema_warmup = false;
  c.output = new_folder();
  ClipTask task(c);
  const Outcome averaged = run(task, c);
  EXPECT_EQ(losses(averaged.lines), losses(plain.lines));
  EXPECT_FALSE(averaged.weights == plain.weights);
  EXPECT_NE(averaged.lines.back(), plain.lines.back());

  models::ClipFolder last = models::load_clip(plain.folder + "/model");
  models::ClipFolder mean = models::load_clip(averaged.folder + "/model");
  const auto of_last = nn::collect(last.model), of_mean = nn::collect(mean.model);
  for (std::size_t i = 0; i < of_last.size(); ++i) {
    const Tensor now = task.parameters()[i].value();
    EXPECT_EQ(std::memcmp(now.raw(), of_last[i].value().raw(), static_cast<std::size_t>(now.bytes())), 0)
        << "the weights in training are not those of a run without averages: " << of_last[i].path;
  }
  const auto differs = [&](const std::string& path) {
    for (std::size_t i = 0; i < of_last.size(); ++i) {
      if (of_last[i].path == path) return of_last[i].value().at(0) != of_mean[i].value().at(0);
    }
    ADD_FAILURE() << "no " << path;
    return false;
  };
  EXPECT_TRUE(differs("logit_scale"));
  EXPECT_TRUE(differs("vision_model.embedder.embedder.normalization.running_mean"));
}

TEST_F(TrainerRun, LabelSmoothingRaisesTheLoss) {
  Config c = config();
  c.train.epochs = 1;
  const double plain = losses(run(c).lines)[0];
  c.objective.label_smoothing = 0.2;
  EXPECT_GT(losses(run(c).lines)[0], plain);
}

TEST_F(TrainerRun, EvaluatesBetweenEpochs) {
  Config c = config();
  c.train.epochs = 5;
  c.eval.splits = {"test"};
  c.eval.every_epochs = 2;
  const Outcome evaluated = run(c);
  std::vector<std::int64_t> at;
  for (const Json& line : evaluated.lines) {
    if (line.contains("eval")) at.push_back(line["step"].get<std::int64_t>());
  }
  EXPECT_EQ(at, (std::vector<std::int64_t>{2, 4, 5}));
  c.eval.every_epochs = 0;
  EXPECT_TRUE(run(c).weights == evaluated.weights) << "evaluation changed the training";
}

TEST_F(TrainerRun, WithoutSplitsThereIsNoEvaluationLine) {
  for (const Json& line : run(config()).lines) EXPECT_TRUE(line.contains("loss"));
}

TEST_F(TrainerRun, AllSplitsButTheTrainingSplitAreScoredUnlessTheConfigurationSaysOtherwise) {
  Config c = config();
  c.eval.splits = EvalConfig().splits;
  const Outcome scored = run(c);
  std::vector<std::string> splits;
  for (const auto& [split, scores] : scored.lines.back()["eval"].items()) splits.push_back(split);
  EXPECT_EQ(splits, (std::vector<std::string>{"more", "test"}));
  EXPECT_EQ(load_config(scored.folder + "/config.json").eval.splits, splits);
}

TEST_F(TrainerRun, GradientsAreClippedUnlessTheNormIsZero) {
  Config c = config();
  c.train.epochs = 2;
  const auto second_norm = [&](double clip) {
    c.train.grad_clip_norm = clip;
    c.optim.eps = 1;  // so that the update depends on the gradient's size
    return run(c).lines[1]["grad_norm"].get<double>();
  };
  const double free = second_norm(0);
  EXPECT_EQ(second_norm(1e6), free);
  EXPECT_NE(second_norm(1e-3), free);
}

TEST_F(TrainerRun, DoublePrecisionAgreesWithSingle) {
  for (const char* model : {tiny_resnet_cbow, tiny_vit_transformer}) {
    Config c = config(model);
    c.eval.splits = {"test"};
    const std::vector<double> single = losses(run(c).lines);
    c.train.precision = "f64";
    const Outcome run64 = run(c);
    const std::vector<double> twice = losses(run64.lines);
    EXPECT_NEAR(single[0], twice[0], 1e-5);
    EXPECT_NE(single[0], twice[0]);
    EXPECT_NEAR(single[3], twice[3], 1e-2);
    EXPECT_GT(run64.weights.size(), 4096u * 16 * 8);  // eight bytes a number
  }
}

TEST_F(TrainerRun, PrecisionsThatAreNotSupportedAreRefused) {
  for (const char* precision : {"bf16", "amp_bf16"}) {
    Config c = config();
    c.train.precision = precision;
    EXPECT_EQ(error_of([&] { ClipTask task(c); }),
              concat("[train] train.precision ", precision, " is not supported yet, expected f32 or f64"));
  }
}

struct WrongConfig {
  const char *assignment, *message;
};

class TrainerRefuses : public TrainerRun, public ::testing::WithParamInterface<WrongConfig> {};

TEST_P(TrainerRefuses, BeforeTheFirstStep) {
  Config c = config();
  apply_set(c, GetParam().assignment);
  const std::string error = error_of([&] { ClipTask task(c); });
  EXPECT_TRUE(contains(error, GetParam().message)) << error;
}

INSTANTIATE_TEST_SUITE_P(
    Wrong, TrainerRefuses,
    ::testing::Values(
        WrongConfig{"data.batch_size=17", "[loader] a batch of 17 is larger than the data set, which has 16 samples"},
        WrongConfig{"data.train_split=trian", "has no rows of split \"trian\", its splits are more (16), test (8), "},
        WrongConfig{R"(eval.splits=["test", "tset"])", "has no rows of split \"tset\", its splits are more (16), "},
        WrongConfig{R"(data.caption_columns=["captions"])",
                    "has no column \"captions\", its columns are image, split, caption, keywords\n"
                    "hint: did you mean \"caption\"?"},
        WrongConfig{R"(data.caption_columns=[])", "no text columns, expected at least one"},
        WrongConfig{R"(data.list_columns=["keyword"])", "data.list_columns names \"keyword\""},
        WrongConfig{"data.image_column=picture", "has no column \"picture\""},
        WrongConfig{"data.split_column=part", "has no column \"part\""},
        WrongConfig{"data.path=/no/such/folder", "/no/such/folder"},
        WrongConfig{"data.workers=5000", "[loader] 5000 workers, expected 0 to 1024"},
        WrongConfig{"model=small-resnet-cbov", "did you mean small-resnet-cbow?"},
        WrongConfig{"model.text.vocabulary=100", "the tokenizer has 4096 entries, the model's text tower knows 100"},
        WrongConfig{"data.transform.sizes=16",
                    "unknown key data.transform.sizes\nhint: did you mean data.transform.size?"}));

class TrainerData : public TrainerRun {
 protected:
  // Rows of a table beside the drawn pictures.
  Config with_table(const std::string& rows) const {
    data_.folder().write("captions.tsv", "image\tsplit\tcaption\n" + rows);
    Config c = config();
    c.data.batch_size = 2;
    c.train.epochs = 1;
    return c;
  }
};

TEST_F(TrainerData, MissingPicturesAreSkippedAndCounted) {
  Config c =
      with_table("red_rows.png\ttrain\ta\nmissing.png\ttrain\tb\nblue_rows.png\ttrain\tc\npink_top.png\ttrain\td\n");
  c.train.epochs = 2;
  const Outcome done = run(c);
  EXPECT_EQ(losses(done.lines).size(), 4u);
  const std::string report = io::read_file(done.folder + "/report.html");
  EXPECT_TRUE(contains(report, "<dt>Pictures that could not be used</dt><dd>1</dd>")) << report;
}

TEST_F(TrainerData, PicturesThatAreAllUnusableAreAnError) {
  data_.folder().write("damaged.png", "not a picture");
  Config c = with_table("damaged.png\ttrain\ta\nmissing.png\ttrain\tb\n");
  c.output = new_folder();
  ClipTask task(c);
  Trainer trainer(task, c);
  const std::string error = error_of([&] { trainer.run(); });
  EXPECT_TRUE(contains(error, "[loader] none of 2 pictures in a row can be used; one of them: sample 0: [image] "))
      << error;
  EXPECT_TRUE(contains(error, "hint: picture paths start from the table's folder")) << error;
}

TEST_F(TrainerData, SplitsWithoutPicturesAreFoundBeforeTraining) {
  Config c = with_table("red_rows.png\ttrain\ta\nblue_rows.png\ttrain\tb\nmissing.png\ttest\tc\n");
  c.eval.splits = {"train", "test"};
  const std::string error = error_of([&] { ClipTask task(c); });
  EXPECT_TRUE(contains(error, "[train] none of the 1 pictures of split \"test\" exists, the first is ")) << error;
}

// What a table of one's own may look like: no splits, white space in names, Windows line ends, a byte-order mark.
TEST_F(TrainerData, TablesWithoutSplitsAreTrainedOnAndScoredAsAWhole) {
  data_.folder().write("red rows.png", io::read_file(data_.path() + "/red_rows.png"));
  data_.folder().write("captions.tsv",
                       "\xEF\xBB\xBFimage\tcaption\r\nred rows.png\tred rows\r\nblue_top.png\tblue\r\n");
  Config c = config();
  c.data.batch_size = 2;
  c.eval.splits = EvalConfig().splits;
  EXPECT_TRUE(contains(error_of([&] { ClipTask task(c); }), "when split_column is empty, all rows are used"));
  apply_set(c, "data.split_column=");
  const Outcome done = run(c);
  EXPECT_EQ(losses(done.lines).size(), 4u);
  EXPECT_EQ(done.lines.back()["eval"]["train"]["i2t"]["queries"], 2);
  EXPECT_FALSE(contains(io::read_file(done.folder + "/report.html"), "could not be used"));
  c.eval.splits = {"test"};
  EXPECT_TRUE(contains(error_of([&] { ClipTask task(c); }), "data.split_column is empty: the table has no splits"));
}

TEST_F(TrainerData, EmptyTablesAreErrors) {
  const Config c = with_table("");
  EXPECT_TRUE(contains(error_of([&] { ClipTask task(c); }), "captions.tsv has no rows"));
  data_.folder().write("captions.tsv", "");
  EXPECT_TRUE(
      contains(error_of([&] { ClipTask task(c); }), "captions.tsv is empty, expected a line with the columns' names"));
}

TEST_F(TrainerData, RowsWithoutTextDoNotStopTheRun) {
  const Outcome done = run(with_table("red_rows.png\ttrain\t\nblue_rows.png\ttrain\tc\n"));
  EXPECT_EQ(losses(done.lines).size(), 1u);
}

}  // namespace
}  // namespace fovea::train
