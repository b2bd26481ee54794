// Whole runs on a tiny data set: the same bits, learning, what is written, and every way to start a run wrongly.
#include "fovea/train/trainer.h"

#include <cmath>
#include <cstring>
#include <map>

#include "fovea/eval/clip_retrieval.h"
#include "fovea/models/clip_folder.h"
#include "fovea/objectives/info_nce.h"
#include "fovea/ops/elementwise.h"
#include "fovea/tensor/reduce.h"
#include "trainer_run.h"

namespace fovea::train {
namespace {

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

TEST_F(TrainerRun, LearnsToPredictWords) {
  Config c = config(tiny_resnet_cbow);
  c.objective.name = "bag_of_words";
  c.train.epochs = 60;
  c.optim.lr = 1e-2;
  c.eval.splits = {"train"};
  const Outcome done = run(c);
  const std::vector<double> loss = losses(done.lines);
  EXPECT_NEAR(loss.front(), std::log(4096.0), 0.5);
  EXPECT_LT(loss.back(), 2.5);  // a caption of two or three words costs at least the logarithm of their number
  EXPECT_GE(done.lines.back()["eval"]["train"]["i2t"]["r5"].get<double>(), 60);

  c.train.epochs = 2;
  c.data.batch_size = 8;
  const Outcome whole = run(c);
  c.data.batch_size = 4;
  c.train.accum_freq = 2;
  const Outcome parts = run(c);  // the mean over micro-batches, as no caption is compared with another
  EXPECT_EQ(losses(whole.lines).size(), losses(parts.lines).size());

  Config other = config(tiny_vit_transformer);
  other.objective.name = "bag_of_words";
  EXPECT_NE(tests::error_of([&] { run(other); }).find("which a text tower of type cbow has"), std::string::npos);
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
  EXPECT_EQ(keys,
            (std::vector<std::string>{"step", "epoch", "loss", "loss_i2t", "loss_t2i", "logit_scale", "lr", "grad_norm",
                                      "pairs_per_s", "data_wait_ms", "step_ms", "live_mb", "peak_mb"}));
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
    EXPECT_GT(line["live_mb"].get<double>(), 0);
    EXPECT_GT(line["peak_mb"].get<double>(), line["live_mb"].get<double>());
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

// Trained at one size, finished at another.
TEST_F(TrainerRun, AModelFolderTrainsAtAnotherSize) {
  Config c =
      config(R"({"image": {"type": "vit", "image_size": 16, "patch_size": 4, "width": 16, "layers": 1, "heads": 2},
                       "text": {"type": "cbow", "vocabulary": 4096, "width": 8}, "embed": 8})");
  c.train.epochs = 1;
  const Outcome first = run(c);
  Config larger = c;
  larger.model = nlohmann::json(first.folder + "/model").dump();
  larger.data.transform = R"({"size": 24})";
  const Outcome second = run(larger);
  EXPECT_EQ(second.lines.size(), first.lines.size());
  const models::ClipFolder clip = models::load_clip(second.folder + "/model");
  const auto& vit = std::get<models::VisionTransformer>(clip.model.vision_model.tower);
  EXPECT_EQ(vit.config.image_size, 24);
  EXPECT_EQ(vit.position_embedding.shape(), (Shape{37, 16}));
  EXPECT_EQ(clip.transform.size, 24);
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
  EXPECT_EQ(error,
            concat("[train] ", first.folder,
                   " already holds a run\nhint: --resume latest continues it; or choose another output, or move ",
                   "the old run away"));
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

// InfoNCE whose loss is NaN at some of its calls.
struct SometimesNan {
  int* calls;
  int first, last;
  objectives::Loss operator()(const objectives::Embeddings& e, const nn::Ctx& ctx) const {
    objectives::Loss loss = objectives::InfoNce{}(e, ctx);
    ++*calls;
    if (*calls >= first && *calls <= last) loss.total = ops::mul(loss.total, std::nan(""));
    return loss;
  }
};

TEST_F(TrainerRun, AStepThatIsNotFiniteIsSkippedAndCounted) {
  Config c = config();
  c.train.epochs = 5;
  c.optim.ema_decay = 0.5;
  const auto after = [&](std::int64_t epochs, int bad_from, int bad_to) {
    c.train.epochs = epochs;
    c.schedule.kind = "const";  // so that the number of steps does not matter
    c.schedule.warmup_fraction = 0;
    c.output = new_folder();
    int calls = 0;
    ClipTask task(c, SometimesNan{&calls, bad_from, bad_to});
    return run(task, c);
  };
  // The last step changes nothing: weights, moments, averages and running statistics are those of one step less.
  const Outcome skipped = after(3, 3, 3), shorter = after(2, 0, 0);
  EXPECT_TRUE(skipped.weights == shorter.weights);
  ASSERT_EQ(skipped.lines.size(), 3u);
  EXPECT_TRUE(skipped.lines[2]["loss"].is_null());
  EXPECT_EQ(skipped.lines[2]["skipped_steps"], 1);
  EXPECT_FALSE(skipped.lines[1].contains("skipped_steps"));
  EXPECT_TRUE(contains(io::read_file(skipped.folder + "/report.html"), "<dt>Steps skipped</dt><dd>1</dd>"));
  // Training goes on after it.
  const Outcome later = after(5, 2, 3);
  EXPECT_GT(later.lines[3]["loss"].get<double>(), 0);
  EXPECT_EQ(later.lines[4]["skipped_steps"], 2);
  EXPECT_FALSE(later.weights == shorter.weights);
}

TEST_F(TrainerRun, TooManyBadStepsInARowEndTheRunAndKeepTheLog) {
  Config c = config();
  c.train.epochs = 20;
  c.train.max_bad_steps = 3;
  c.output = new_folder();
  int calls = 0;
  ClipTask task(c, SometimesNan{&calls, 3, 100});
  Trainer trainer(task, c);
  const std::string error = error_of([&] { trainer.run(); });
  EXPECT_TRUE(contains(error, "[train] the loss is nan")) << error;
  EXPECT_TRUE(contains(error, "at step 5, step 3 in a row that is not finite\nhint: lower optim.lr")) << error;
  EXPECT_EQ(lines_of(c.output + "/metrics.jsonl").size(), 4u);
  for (const nn::ParamEntry& entry : task.parameters()) {
    EXPECT_TRUE(std::isfinite(entry.value().at(0))) << entry.path;
  }
}

TEST_F(TrainerRun, AnomalyDetectionNamesOperationModuleAndSample) {
  Config c = config(tiny_vit_transformer);
  c.train.detect_anomaly = true;
  c.data.batch_size = 8;
  const auto error_with = [&](const std::string& parameter) {
    c.output = new_folder();
    ClipTask task(c);
    for (const nn::ParamEntry& entry : task.parameters()) {
      if (entry.path == parameter) entry.value().fill(std::nan(""));
    }
    Trainer trainer(task, c);
    return error_of([&] { trainer.run(); });
  };
  const std::string weight = error_with("vision_model.encoder.layers.0.mlp.fc1.weight");
  EXPECT_TRUE(contains(weight, "with vision_model.encoder.layers.0.mlp.fc1.weight gives nan at element ")) << weight;
  EXPECT_TRUE(contains(weight, "; vision_model.encoder.layers.0.mlp.fc1.weight is not finite already")) << weight;
  EXPECT_TRUE(contains(weight, "\nat step 1, sample ")) << weight;

  c.output = new_folder();
  int calls = 0;
  ClipTask task(c, SometimesNan{&calls, 2, 2});
  Trainer trainer(task, c);
  const std::string loss = error_of([&] { trainer.run(); });
  EXPECT_TRUE(contains(loss, "[anomaly] [mul] after the operation with logit_scale gives nan at element 0 of ()"))
      << loss;
  EXPECT_TRUE(contains(loss, "\nat step 2, one of samples ")) << loss;
}

TEST_F(TrainerRun, AnomalyDetectionChangesNoBit) {
  Config c = config(tiny_vit_transformer);
  const Outcome plain = run(c);
  c.train.detect_anomaly = true;
  expect_same_run(run(c), plain);
}

TEST_F(TrainerRun, AProfileChangesNoBitAndHoldsTheWholeStep) {
  Config c = config(tiny_vit_transformer);
  c.eval.splits = {"train"};
  const Outcome plain = run(c);
  c.train.profile = 10;  // more than there are: to the end
  const Outcome profiled = run(c);
  expect_same_run(plain, profiled);
  const Json trace = Json::parse(io::read_file(profiled.folder + "/trace.json"));
  std::map<std::string, int> found;
  double step = 0;
  for (const Json& event : trace["traceEvents"]) {
    if (event["ph"] != "X") continue;
    ++found[event["name"].get<std::string>()];
    if (event["name"] == "step") step = event["ts"].get<double>() + event["dur"].get<double>();
  }
  double inside = 0, of_steps = 0;
  for (const Json& event : trace["traceEvents"]) {
    if (event["ph"] != "X" || event["ts"].get<double>() > step) continue;
    if (event["name"] == "step") of_steps += event["dur"].get<double>();
    if (event["cat"] == "forward" || event["name"] == "backward" || event["name"] == "adamw" ||
        event["name"] == "gradient_norm") {
      inside += event["cat"] == "backward" ? 0 : event["dur"].get<double>();
    }
  }
  EXPECT_EQ(found["step"], 2);  // of four, two are not looked at
  for (const char* name : {"data wait", "adamw", "save checkpoint", "evaluate", "save model"})
    EXPECT_GE(found[name], 1) << name;
  EXPECT_LE(inside, of_steps);
  EXPECT_GT(inside, 0.8 * of_steps);
  const std::string tables = io::read_file(profiled.folder + "/profile.txt");
  EXPECT_TRUE(contains(tables, "2 steps: ")) << tables;
  EXPECT_TRUE(contains(tables, "vision_model.encoder.layers.*.mlp.fc1")) << tables;
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

TEST_F(TrainerRun, SigmoidLearnsScaleAndBiasFromWhereTheConfigurationStartsThem) {
  Config c = config();
  c.objective.name = "sigmoid";
  c.train.epochs = 12;
  const Outcome published = run(c);
  const auto figure = [](const Outcome& o, std::size_t line, const char* name) {
    return o.lines[line][name].get<double>();
  };
  EXPECT_NEAR(figure(published, 0, "logit_scale"), 10, 0.2);
  EXPECT_NEAR(figure(published, 0, "logit_bias"), -10, 0.02);
  EXPECT_LT(losses(published.lines)[11], 0.6 * losses(published.lines)[0]);

  c.objective.init_logit_scale = 6;
  c.objective.init_logit_bias = -2.71;
  c.objective.clamp_logit_scale = false;
  c.train.epochs = 1;
  EXPECT_NEAR(ClipTask(c).figures()[1].second, -2.71, 1e-6);
  EXPECT_NEAR(std::log(figure(run(c), 0, "logit_scale")), 6, 0.01);
  c.objective.clamp_logit_scale = true;
  EXPECT_NEAR(figure(run(c), 0, "logit_scale"), 100, 1e-4);
}

TEST_F(TrainerRun, SigmoidOnAModelFolderKeepsOrAsksForItsBias) {
  Config c = config();
  c.train.epochs = 1;
  const std::string clip = run(c).folder + "/model";
  c.objective.name = "sigmoid";
  const std::string siglip = run(c).folder + "/model";
  c.model = Json(siglip).dump();
  const double bias = ClipTask(c).figures()[1].second;
  EXPECT_NE(bias, -10);
  EXPECT_NEAR(bias, -10, 0.02);
  c.model = Json(clip).dump();
  EXPECT_TRUE(contains(error_of([&] { ClipTask{c}; }), "the sigmoid objective learns a logit_bias"));
  c.objective.init_logit_bias = -3;
  EXPECT_EQ(ClipTask(c).figures()[1].second, -3);
  c.objective.init_temperature = 1;
  EXPECT_TRUE(contains(error_of([&] { ClipTask{c}; }), "objective.init_temperature is 1, but the model has no such"));
  c.objective = {};
  c.objective.name = "sigmoid";
  c.objective.sum_directions = true;
  EXPECT_TRUE(contains(error_of([&] { ClipTask{c}; }), "belong to info_nce"));
}

// Locked-image tuning: the image tower, its projection and the joint space are another run's, the text tower is new.
TEST_F(TrainerRun, ANewTextTowerLearnsToFitALockedImageTower) {
  Config c = config();
  c.train.epochs = 2;
  const std::string folder = run(c).folder + "/model";
  const auto weights_of = [](const std::string& model) { return io::load_safetensors(model + "/model.safetensors"); };
  c.objective.name = "sigmoid";
  c.model = R"({"image": {"type": "vit", "image_size": 32, "patch_size": 8}, "embed": 5,
    "text": {"type": "transformer", "vocabulary": 4096, "context": 16, "width": 24, "layers": 1, "heads": 2,
             "attention": "full", "pool": "last", "pad_token": 4095, "head": true}})";
  c.train.image_from = folder;
  c.train.lock_image = true;
  c.train.epochs = 6;
  const Outcome tuned = run(c);
  EXPECT_LT(losses(tuned.lines).back(), losses(tuned.lines).front());
  const auto before = weights_of(folder), after = weights_of(tuned.folder + "/model");
  int compared = 0;
  for (const auto& [name, value] : before) {
    if (!name.starts_with("vision_model.") && !name.starts_with("visual_projection.")) continue;
    ++compared;
    EXPECT_TRUE(name.find("running_") != std::string::npos || count_different_bits(value, after.at(name)) == 0) << name;
  }
  EXPECT_GT(compared, 10);
  EXPECT_EQ(after.at("text_model.head.weight").shape(), (Shape{16, 24}));
  // The saved configuration repeats the run.
  Config again = load_config(tuned.folder + "/config.json");
  EXPECT_EQ(losses(run(again).lines), losses(tuned.lines));
  c.model = Json(folder).dump();
  EXPECT_TRUE(contains(error_of([&] { ClipTask{c}; }), "train.image_from names an image tower, but model is a folder"));
}

TEST_F(TrainerRun, AdafactorLearnsAndGoesOnToTheSameBits) {
  Config c = config(tiny_vit_transformer);
  c.optim.name = "adafactor";
  c.optim.decay_rule = "big_vision";
  c.train.epochs = 8;
  c.train.save_steps = 4;
  const Outcome whole = run(c);
  EXPECT_LT(losses(whole.lines).back(), losses(whole.lines).front());
  Config stopped = c;
  stopped.output = new_folder();
  {
    ClipTask task(stopped);
    Trainer(task, stopped).run();
  }
  ClipTask task(stopped);
  Trainer resumed = Trainer::resumed(task, stopped, stopped.output + "/checkpoints/step-4");
  resumed.run();
  EXPECT_TRUE(io::read_file(stopped.output + "/model/model.safetensors") == whole.weights);
  c.optim.name = "sgd";
  EXPECT_TRUE(
      contains(error_of([&] { run(c); }), "optim.decay_rule is big_vision, which belongs to adamw and adafactor"));
}

// Decay times the learning rate's share of the highest one: a gradient of zero leaves that alone.
TEST(Optimizer, BigVisionsDecayFollowsTheScheduleAndNotTheLearningRate) {
  for (const char* name : {"adamw", "adafactor"}) {
    for (const double lr : {1e-3, 1e-5}) {
      OptimConfig c;
      c.name = name;
      c.lr = lr;
      c.weight_decay = 0.25;
      c.decay_rule = "big_vision";
      const nn::Param weight(full({2, 2}, 1.0, DType::f64));
      optim::ParamStore store({{"weight", weight.leaf(), 0, 0, false}});
      make_optimizer(c).step(store, lr / 2);
      EXPECT_NEAR(weight.value().at(0), 1 - 0.25 / 2, 1e-9) << name;
    }
  }
}

TEST_F(TrainerRun, TheSumOfDirectionsIsTwiceTheMean) {
  Config c = config();
  c.train.epochs = 1;
  const double mean = losses(run(c).lines)[0];
  c.objective.sum_directions = true;
  EXPECT_NEAR(losses(run(c).lines)[0], 2 * mean, 1e-4);
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

// Four micro-batches of 4 against one batch of 16: the loss compares all with all.
TEST_F(TrainerRun, AccumulationGivesTheLargeBatchsGradients) {
  for (const char* precision : {"f32", "f64"}) {
    Config c = config(tiny_vit_transformer);
    c.train.precision = precision;
    const auto gradients = [&](std::int64_t batch_size, std::int64_t accum_freq) {
      c.data.batch_size = batch_size;
      ClipTask task(c);
      optim::ParamStore store(task.parameters());
      std::vector<data::Batch> batches;
      for (std::int64_t i = 0; i < accum_freq; ++i) batches.push_back(task.loader().next());
      nn::Ctx ctx;
      ctx.training = true;
      const double loss = task.backward(batches, ctx).total.item();
      std::map<std::string, Tensor> found;
      for (const nn::ParamEntry& entry : task.parameters()) found.emplace(entry.path, entry.grad().to(DType::f64));
      return std::pair(loss, found);
    };
    const auto whole = gradients(16, 1), parts = gradients(4, 4);
    const double tolerance = std::string(precision) == "f64" ? 1e-12 : 1e-6;
    EXPECT_NEAR(parts.first, whole.first, tolerance * whole.first);
    double largest = 0;
    for (const auto& [path, gradient] : whole.second) largest = std::max(largest, max_abs(gradient));
    for (const auto& [path, gradient] : whole.second) {
      EXPECT_LT(max_abs_difference(gradient, parts.second.at(path)), tolerance * largest) << path;
    }
    EXPECT_TRUE(whole.second.contains("logit_scale"));
  }
}

TEST_F(TrainerRun, AccumulationMovesRunningStatisticsOncePerMicroBatch) {
  Config c = config();
  c.data.batch_size = 8;
  c.train.lock_text = true;
  const auto statistics = [&](bool accumulated) {
    ClipTask task(c);
    optim::ParamStore store(task.parameters());
    nn::Ctx ctx;
    ctx.training = true;
    const std::vector<data::Batch> batches{task.loader().next(), task.loader().next()};
    if (accumulated) {
      task.backward(batches, ctx);
    } else {
      for (const data::Batch& batch : batches) task.loss(batch, ctx);
    }
    std::vector<double> values;
    for (const nn::ParamEntry& entry : task.parameters()) {
      if (entry.leaf->is_buffer()) values.push_back(entry.value().at(0));
    }
    return values;
  };
  EXPECT_EQ(statistics(true), statistics(false));
}

TEST_F(TrainerRun, AccumulationLeavesOutWhatDoesNotFillAStep) {
  Config c = config(tiny_vit_transformer);
  c.data.batch_size = 5;  // three batches an epoch
  c.train.accum_freq = 2;
  c.train.epochs = 3;
  const Outcome done = run(c);
  EXPECT_EQ(done.steps, 3);
  EXPECT_EQ(losses(done.lines).size(), 3u);
  c.train.accum_freq = 4;
  c.output = new_folder();
  ClipTask task(c);
  EXPECT_EQ(error_of([&] { Trainer trainer(task, c); }), "[train] train.accum_freq is 4, but an epoch has 3 batches");
}

TEST_F(TrainerRun, LockedTowersKeepTheirWeights) {
  Config c = config(tiny_vit_transformer);
  const auto moved = [&](const std::string& setting) {
    Config changed = c;
    apply_set(changed, setting);
    changed.output = new_folder();
    ClipTask task(changed);
    std::vector<Tensor> before;
    for (const nn::ParamEntry& entry : task.parameters()) before.push_back(entry.value().clone());
    run(task, changed);
    std::string first_letters;
    for (std::size_t i = 0; i < before.size(); ++i) {
      const bool same = count_different_bits(task.parameters()[i].value(), before[i]) == 0;
      const char letter = task.parameters()[i].path[0];
      if (!same && first_letters.find(letter) == std::string::npos) first_letters += letter;
    }
    return first_letters;
  };
  EXPECT_EQ(moved("train.lock_image=true"), "tl");  // text_model, text_projection; logit_scale
  EXPECT_EQ(moved("train.lock_text=true"), "vl");
  EXPECT_EQ(moved(R"(train.freeze=["*_model.*", "logit*"])"), "vt");  // the projections
}

TEST_F(TrainerRun, FeaturesOfALockedTowerAreComputedOnce) {
  Config c = config(tiny_vit_transformer);
  c.train.lock_image = true;
  const std::vector<double> plain = losses(run(c).lines);
  c.data.feature_cache = runs_ / "features";
  const Outcome first = run(c), second = run(c);
  expect_same_run(first, second);
  const std::vector<double> cached = losses(first.lines);
  ASSERT_EQ(cached.size(), plain.size());
  EXPECT_NE(cached, plain);
  for (std::size_t i = 0; i < plain.size(); ++i) EXPECT_NEAR(cached[i], plain[i], 0.02 * plain[i]);
  ClipTask task(c);
  EXPECT_TRUE(task.loader().next().uncached.empty());
  EXPECT_EQ(task.loader().next().images.numel(), 0);
}

TEST_F(TrainerRun, CachedFeaturesFollowWeightsTransformAndView) {
  Config c = config(tiny_vit_transformer);
  c.train.lock_image = true;
  c.train.epochs = 1;
  c.data.feature_cache = runs_ / "features";
  run(c);
  const auto uncached = [](const Config& changed) { return ClipTask(changed).loader().next().uncached.size(); };
  EXPECT_EQ(uncached(c), 0u);
  Config other = c;
  other.train.seed = 1;  // other weights
  EXPECT_EQ(uncached(other), 16u);
  other = c;
  apply_set(other, "data.transform.interpolation=bilinear");
  EXPECT_EQ(uncached(other), 16u);
  apply_set(c, "data.transform.augment.affine.flip=0.5");
  EXPECT_TRUE(contains(error_of([&] { ClipTask task(c); }), "set data.feature_views"));
  c.data.feature_views = 2;
  c.train.epochs = 1;
  run(c);
  ClipTask task(c);
  EXPECT_EQ(task.loader().next().uncached.size(), 0u);   // view 0
  EXPECT_EQ(task.loader().next().uncached.size(), 16u);  // view 1
  c.train.lock_image = false;
  EXPECT_TRUE(contains(error_of([&] { ClipTask trained(c); }), "is trained\nhint: set train.lock_image"));
}

TEST_F(TrainerRun, CachedFeaturesWorkInMicroBatches) {
  Config c = config(tiny_vit_transformer);
  c.train.lock_image = true;
  c.data.feature_cache = runs_ / "features";
  const Outcome whole = run(c);
  c.data.batch_size = 8;
  c.train.accum_freq = 2;
  c.data.feature_cache = runs_ / "others";
  const std::vector<double> parts = losses(run(c).lines);
  EXPECT_NEAR(parts[0], losses(whole.lines)[0], 1e-4);
}

TEST_F(TrainerRun, Lamb) {
  Config c = config();
  c.train.epochs = 4;
  c.optim.name = "lamb";
  c.optim.lr = 0.02;
  const std::vector<double> losses_of = losses(run(c).lines);
  EXPECT_LT(losses_of.back(), losses_of.front());
}

TEST_F(TrainerRun, SgdAndTheOtherSchedules) {
  Config c = config();
  c.train.epochs = 8;
  c.optim.name = "sgd";
  c.optim.lr = 0.5;
  c.schedule.kind = "const-cooldown";
  c.schedule.warmup_steps = 2;
  c.schedule.cooldown_epochs = 4;
  c.schedule.cooldown_end = 0.1;
  const Outcome done = run(c);
  const double rates[] = {0.25, 0.5, 0.5, 0.5, 0.5, 0.4, 0.3, 0.2};
  for (std::size_t i = 0; i < 8; ++i) EXPECT_NEAR(done.lines[i]["lr"].get<double>(), rates[i], 1e-15);
  EXPECT_LT(losses(done.lines).back(), losses(done.lines).front());
  c.schedule.cooldown_epochs = 9;
  c.output = new_folder();
  ClipTask task(c);
  Trainer trainer(task, c);
  EXPECT_EQ(error_of([&] { trainer.run(); }), "[train] schedule.cooldown_epochs is 9, the whole run has 8 epochs");
}

TEST_F(TrainerRun, AModelFolderIsTrainedOn) {
  Config c = config(tiny_vit_transformer);
  c.train.epochs = 2;
  c.data.transform = R"({"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]})";
  const Outcome first = run(c);
  Config tuned = config(Json(first.folder + "/model").dump());
  tuned.optim.lr = 1e-12;  // stays where it is
  tuned.train.epochs = 1;
  tuned.eval.splits = {"test"};
  const Outcome second = run(tuned);
  models::ClipFolder before = models::load_clip(first.folder + "/model"),
                     after = models::load_clip(second.folder + "/model");
  const auto a = nn::collect(before.model), b = nn::collect(after.model);
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i)
    EXPECT_LT(max_abs_difference(a[i].value(), b[i].value()), 1e-6) << a[i].path;
  EXPECT_EQ(after.transform.normalization.mean[0], before.transform.normalization.mean[0]);
  const Config resolved = load_config(second.folder + "/config.json");
  EXPECT_EQ(Json::parse(resolved.model), first.folder + "/model");
  tuned.train.precision = "f64";
  EXPECT_EQ(losses(run(tuned).lines).size(), 1u);
  tuned.model = R"("no/such/model")";
  EXPECT_TRUE(contains(error_of([&] { ClipTask task(tuned); }), "[train] model no/such/model is not a folder"));
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

TEST_F(TrainerRun, ActivationsInBf16TrainAlike) {
  Config c = config();
  const Outcome exact = run(c);
  c.train.precision = "bf16";
  const Outcome rounded = run(c);
  c.train.precision = "amp_bf16";
  expect_same_run(rounded, run(c));
  EXPECT_FALSE(rounded.weights == exact.weights) << "nothing was rounded";
  const std::vector<double> expected = losses(exact.lines), found = losses(rounded.lines);
  ASSERT_EQ(found.size(), expected.size());
  EXPECT_EQ(found[0], expected[0]);  // the first forward pass is f32's
  for (std::size_t i = 1; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], 0.03 * expected[i]) << i;
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
