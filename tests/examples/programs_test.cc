// The trainers and tools as a user runs them: options, output, exit codes.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "../support/tiny_clip.h"
#include "fovea/io/file.h"
#include "fovea/io/npy.h"
#include "fovea/tensor/factory.h"
#include "fovea/testing/golden.h"
#include "fovea/text/tokenizer.h"
#include "fovea/train/config.h"

namespace fovea {
namespace {

using Json = nlohmann::json;

struct Outcome {
  int exit_code = -1;
  std::string output, errors;
};

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? "'\\''" : std::string(1, c);
  return out + "'";
}

class Programs : public ::testing::Test {
 protected:
  Programs() {
    train::Config config;
    config.model = tests::tiny_resnet_cbow;
    config.data.path = data_.path();
    config.data.batch_size = 8;
    config.train.epochs = 2;
    config.train.log_every = 1;
    config.eval.splits = {"train", "test"};
    folder_.write("config.json", train::dump_config(config));
  }

  // Runs a program of examples/ from the source folder, as the documentation does.
  Outcome run(const std::string& program, const std::vector<std::string>& arguments) const {
    std::string command = concat("cd ", quoted(FOVEA_SOURCE_DIR), " && ", quoted(FOVEA_PROGRAMS_DIR "/" + program));
    for (const std::string& argument : arguments) command += " " + quoted(argument);
    command += " 2>" + quoted(folder_ / "errors");
    Outcome outcome;
    std::FILE* pipe = ::popen(command.c_str(), "r");
    if (pipe == nullptr) return outcome;
    char block[4096];
    for (std::size_t n; (n = std::fread(block, 1, sizeof block, pipe)) > 0;) outcome.output.append(block, n);
    const int status = ::pclose(pipe);
    outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    outcome.errors = io::read_file(folder_ / "errors");
    return outcome;
  }
  Outcome train(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {"--config", config(), "--threads", "1"});
    return run("train_clip", arguments);
  }

  std::string config() const { return folder_ / "config.json"; }
  Json run_config(const std::string& name) const {
    return Json::parse(io::read_file(folder_ / (name + "/config.json")));
  }

  const tests::TinyData data_;
  const tests::TempFolder folder_;
};

// Exit code 1 and one message, not an abort.
void expect_refused(const Outcome& outcome, const std::string& message) {
  EXPECT_EQ(outcome.exit_code, 1) << outcome.errors;
  EXPECT_TRUE(contains(outcome.errors, message)) << outcome.errors;
  EXPECT_FALSE(contains(outcome.errors, "terminate called")) << outcome.errors;
}

TEST_F(Programs, TrainClipWritesARunThatEvaluateScores) {
  const Outcome trained = train({"--output", folder_ / "run", "--seed", "7", "--set", "optim.lr=2e-3", "optim.eps=1e-7",
                                 "--set", "train.epochs=3"});
  ASSERT_EQ(trained.exit_code, 0) << trained.errors;
  EXPECT_TRUE(contains(trained.errors, "step 6/6  loss ")) << trained.errors;
  EXPECT_FALSE(contains(trained.errors, "ETA ?")) << trained.errors;
  const Json config = run_config("run");
  EXPECT_EQ(config["train"]["seed"], 7);
  EXPECT_EQ(config["train"]["threads"], 1);
  EXPECT_EQ(config["train"]["epochs"], 3);
  EXPECT_EQ(config["optim"]["lr"], 2e-3);
  EXPECT_EQ(config["optim"]["eps"], 1e-7);
  EXPECT_TRUE(contains(io::read_file(folder_ / "run/report.html"), "<html"));

  const std::vector<std::string> arguments{"--model", folder_ / "run/model", "--task",  "retrieval",
                                           "--data",  data_.path(),          "--split", "train",
                                           "test",    "--threads",           "1"};
  const Outcome text = run("evaluate", arguments);
  ASSERT_EQ(text.exit_code, 0) << text.errors;
  EXPECT_TRUE(text.output.starts_with("train\n  image to text  R@1 ")) << text.output;
  EXPECT_TRUE(contains(text.output, "\ntest\n  image to text  R@1 ")) << text.output;
  EXPECT_TRUE(contains(text.output, "\n  text to image  R@1 ")) << text.output;
  EXPECT_TRUE(contains(text.output, "(8 queries, 8 candidates)")) << text.output;
  const Outcome every = run("evaluate", {"--model", folder_ / "run/model", "--data", data_.path(), "--json"});
  ASSERT_EQ(every.exit_code, 0) << every.errors;
  EXPECT_EQ(Json::parse(every.output)["eval"].size(), 3u) << every.output;

  std::vector<std::string> with_json = arguments;
  with_json.push_back("--json");
  const Outcome json = run("evaluate", with_json);
  ASSERT_EQ(json.exit_code, 0) << json.errors;
  const std::string metrics = io::read_file(folder_ / "run/metrics.jsonl");
  const std::size_t last_line = metrics.rfind('\n', metrics.size() - 2) + 1;
  EXPECT_EQ(Json::parse(json.output)["eval"], Json::parse(metrics.substr(last_line))["eval"]);
}

TEST_F(Programs, TrainSiglipWritesARunWhoseScoresAreProbabilities) {
  const Outcome help = run("train_siglip", {"--help"});
  EXPECT_TRUE(contains(help.output, "\"name\": \"sigmoid\"") && contains(help.output, "train_siglip --config"))
      << help.output;
  const Outcome trained =
      run("train_siglip", {"--output", folder_ / "run", "--threads", "1", "--train-data", data_.path(), "--batch-size",
                           "8", "--epochs", "2", "--set", "eval.splits=[\"test\"]", "train.log_every=1"});
  ASSERT_EQ(trained.exit_code, 0) << trained.errors;
  const Json config = run_config("run");
  EXPECT_EQ(config["objective"]["name"], "sigmoid");
  EXPECT_EQ(config["optim"]["betas"][1], 0.95);
  EXPECT_EQ(config["model"]["similarity"], "scale_and_bias");
  EXPECT_EQ(config["data"]["transform"]["resize_mode"], "squash");
  EXPECT_EQ(config["data"]["transform"]["mean"][0], 0.5);
  const Outcome scored = run("evaluate", {"--model", folder_ / "run/model", "--data", data_.path(), "--split", "test"});
  EXPECT_EQ(scored.exit_code, 0) << scored.errors;
  const Outcome found = run("search", {"--model", folder_ / "run/model", "--data", data_.path(), "--index",
                                       folder_ / "pictures.index", "--json", "red rows"});
  ASSERT_EQ(found.exit_code, 0) << found.errors;
  const double score = Json::parse(found.output)["found"][0]["score"];
  EXPECT_GT(score, 0);
  EXPECT_LT(score, 0.5) << "a probability that hardly moved from sigmoid(10 cos - 10)";
  for (const char* layout : {"hf", "fovea"}) {
    const Outcome written = run("export_hf", {folder_ / "run/model", folder_ / layout, "--layout", layout});
    EXPECT_EQ(written.exit_code, 0) << written.errors;
  }
  EXPECT_EQ(Json::parse(io::read_file(folder_ / "hf/config.json"))["model_type"], "siglip");
  EXPECT_EQ(Json::parse(io::read_file(folder_ / "hf/preprocessor_config.json"))["image_processor_type"],
            "SiglipImageProcessor");
  EXPECT_EQ(run("evaluate", {"--model", folder_ / "hf", "--data", data_.path(), "--split", "test"}).output,
            scored.output);
}

TEST_F(Programs, ShippedConfigurationsDescribeModels) {
  for (const auto& file : std::filesystem::directory_iterator(FOVEA_SOURCE_DIR "/examples/configs")) {
    const train::Config config = train::load_config(file.path());
    if (config.data.path.starts_with("data/")) {
      EXPECT_TRUE(std::filesystem::exists(FOVEA_SOURCE_DIR "/" + config.data.path)) << file.path();
    }
    EXPECT_EQ(run("inspect", {file.path()}).exit_code, 0) << file.path();
  }
}

TEST_F(Programs, TrainClipTellsItsOptions) {
  const Outcome help = run("train_clip", {"--help"});
  EXPECT_EQ(help.exit_code, 0);
  for (const char* part : {"--config", "--output", "--threads", "--seed", "--precision", "--set", "FOVEA_NUM_THREADS",
                           "examples/configs/quickstart.json", "report.html"})
    EXPECT_TRUE(contains(help.output, part)) << part;
}

TEST_F(Programs, TrainClipNeedsNoConfiguration) {
  const Outcome trained =
      run("train_clip", {"--output", folder_ / "run", "--threads", "1", "--set", "train.minutes=1e-6", "--set",
                         "data.batch_size=2", "--set", "data.workers=0", "eval.splits=[]"});
  ASSERT_EQ(trained.exit_code, 0) << trained.errors;
  const Json config = run_config("run");
  EXPECT_EQ(config["data"]["path"], "data/emoji_clipart");
  EXPECT_EQ(config["data"]["transform"]["size"], 64);
  EXPECT_EQ(config["model"]["image"]["type"], "resnet");
}

TEST_F(Programs, PairsOfOnesOwnNeedTwoColumnsOnly) {
  folder_.write("captions.tsv", "image\tcaption\n" + data_.path() + "/red_rows.png\tred rows\n" + data_.path() +
                                    "/blue_top.png\tblue top\n");
  const Outcome trained = run(
      "train_clip", {"--output", folder_ / "run", "--threads", "1", "--set", concat("model=", tests::tiny_resnet_cbow),
                     "data.path=" + folder_.path(), "data.split_column=", "data.batch_size=2", "train.epochs=1"});
  ASSERT_EQ(trained.exit_code, 0) << trained.errors;
  const Outcome scored = run(
      "evaluate", {"--model", folder_ / "run/model", "--data", folder_.path(), "--split-column", "", "--threads", "1"});
  ASSERT_EQ(scored.exit_code, 0) << scored.errors;
  EXPECT_TRUE(scored.output.starts_with("all\n")) << scored.output;
  EXPECT_TRUE(contains(scored.output, "(2 queries, 2 candidates)")) << scored.output;
}

TEST_F(Programs, InspectPrintsSizes) {
  const Outcome some = run("inspect", {"ViT-B-32", config()});
  ASSERT_EQ(some.exit_code, 0) << some.errors;
  EXPECT_TRUE(contains(some.output, "\nViT-B-32                       151,277,313    224 ")) << some.output;
  EXPECT_TRUE(contains(some.output, config())) << some.output;
  const Outcome all = run("inspect", {});
  EXPECT_EQ(all.exit_code, 0) << all.errors;
  EXPECT_TRUE(contains(all.output, "\nsmall-vit ")) << all.output;
  expect_refused(run("inspect", {"ViT-B32"}), "did you mean ViT-B-32?");
}

TEST_F(Programs, InspectPlansASteps) {
  const Outcome plan = run("inspect", {"--plan", config(), "--set", "data.batch_size=16", "train.threads=1"});
  ASSERT_EQ(plan.exit_code, 0) << plan.errors;
  EXPECT_TRUE(contains(plan.output, "1 batch of 16 pairs")) << plan.output;
  EXPECT_TRUE(contains(plan.output, "\npeak memory ")) << plan.output;
  EXPECT_TRUE(contains(plan.output, "\npairs per second ")) << plan.output;
  expect_refused(run("inspect", {"--plan", "ViT-B32"}), "did you mean ViT-B-32?");
}

TEST_F(Programs, TrainClipFitsIntoTheMemoryItIsGiven) {
  const Outcome trained = train({"--output", folder_ / "fitted", "--max-memory", "8G"});
  ASSERT_EQ(trained.exit_code, 0) << trained.errors;
  EXPECT_TRUE(contains(trained.errors, "memory: 1 batch of 8 pairs without activation checkpoints will take about "))
      << trained.errors;
  EXPECT_EQ(run_config("fitted")["train"]["max_memory"], "8G");
  const Outcome again = train({"--output", folder_ / "fitted", "--max-memory", "8G", "--resume", "latest"});
  ASSERT_EQ(again.exit_code, 0) << again.errors;
  EXPECT_TRUE(contains(again.errors, "memory: as the run was started")) << again.errors;
  expect_refused(train({"--output", folder_ / "small", "--max-memory", "64K"}), "train.max_memory is 64K, but even ");
}

TEST_F(Programs, InspectShowsWhatIsInside) {
  ASSERT_EQ(train({"--output", folder_ / "run"}).exit_code, 0);
  const Outcome preset = run("inspect", {"ViT-B-32", "--depth", "1"});
  ASSERT_EQ(preset.exit_code, 0) << preset.errors;
  EXPECT_TRUE(contains(preset.output, "  87,456,000")) << preset.output;  // the vision tower without its projection
  const Outcome model = run("inspect", {folder_ / "run/model"}),
                file = run("inspect", {folder_ / "run/model/model.safetensors"});
  ASSERT_EQ(model.exit_code, 0) << model.errors;
  ASSERT_EQ(file.exit_code, 0) << file.errors;
  EXPECT_TRUE(contains(model.output, "text_projection.weight  f32 (16, 16)")) << model.output;
  EXPECT_TRUE(contains(file.output, "text_projection.weight  f32 (16, 16)")) << file.output;
  const Outcome json = run("inspect", {folder_ / "run/model", "--json"});
  ASSERT_EQ(json.exit_code, 0) << json.errors;
  EXPECT_EQ(Json::parse(json.output)["tensors"]["children"]["text_projection"]["elements"], 256) << json.output;
  io::save_npy(folder_ / "array.npy", zeros({3, 4}, DType::f64));
  EXPECT_TRUE(contains(run("inspect", {folder_ / "array.npy"}).output, "array  f64 (3, 4)"));
  const Outcome torch = run("inspect", {FOVEA_SOURCE_DIR "/tests/golden/torch/state_dict.pt"});
  EXPECT_EQ(torch.exit_code, 0) << torch.errors;

  expect_refused(run("inspect", {folder_ / "missing.safetensors"}), "missing.safetensors");
  expect_refused(run("inspect", {folder_.write("bad.pt", "not a file of PyTorch")}), "bad.pt");
  expect_refused(run("inspect", {folder_.path()}), "config.json");
  expect_refused(run("inspect", {"notes.txt"}), "expected a preset, a model folder");
}

TEST_F(Programs, SearchIndexesOnceAndFinds) {
  ASSERT_EQ(train({"--output", folder_ / "run"}).exit_code, 0);
  const std::string index = folder_ / "pictures.index";
  data_.folder().write("damaged.png", "not a picture");
  const Outcome built = run("search", {"--model", folder_ / "run/model", "--data", data_.path(), "--index", index});
  ASSERT_EQ(built.exit_code, 0) << built.errors;
  EXPECT_TRUE(contains(built.errors, "40 pictures, 40 embedded now, 0 dropped")) << built.errors;
  EXPECT_TRUE(contains(built.errors, "damaged.png")) << built.errors;
  EXPECT_TRUE(contains(built.errors, "pictures left out: 1")) << built.errors;
  EXPECT_EQ(built.output, "");

  const Outcome asked = run("search", {"--index", index, "red rows", "blue top", "--top", "3"});
  ASSERT_EQ(asked.exit_code, 0) << asked.errors;
  EXPECT_TRUE(asked.output.starts_with("red rows\n  ")) << asked.output;
  EXPECT_EQ(std::count(asked.output.begin(), asked.output.end(), '\n'), 8) << asked.output;

  const std::string picture = data_.path() + "/red_rows.png";
  const Outcome similar =
      run("search", {"--index", index, "--image", picture, "--top", "1", "--json", "--html", folder_ / "found.html"});
  ASSERT_EQ(similar.exit_code, 0) << similar.errors;
  const Json found = Json::parse(similar.output);
  EXPECT_EQ(found["image"], picture);
  EXPECT_EQ(std::filesystem::path(std::string(found["found"][0]["path"])).filename(), "red_rows.png");
  EXPECT_NEAR(double(found["found"][0]["score"]), 1, 1e-5);
  EXPECT_TRUE(contains(io::read_file(folder_ / "found.html"), "src=\"data:image/png;base64,"));

  const Outcome again = run("search", {"--model", folder_ / "run/model", "--data", data_.path() + "/captions.tsv",
                                       "--split", "test", "--index", index});
  ASSERT_EQ(again.exit_code, 0) << again.errors;
  EXPECT_TRUE(contains(again.errors, "8 pictures, 0 embedded now, 32 dropped")) << again.errors;
}

TEST_F(Programs, SearchRefusesWhatDoesNotFit) {
  ASSERT_EQ(train({"--output", folder_ / "run"}).exit_code, 0);
  ASSERT_EQ(train({"--output", folder_ / "other", "--seed", "5"}).exit_code, 0);
  const std::string index = folder_ / "pictures.index", model = folder_ / "run/model";
  expect_refused(run("search", {"--index", index}), "nothing to do");
  expect_refused(run("search", {"--index", index, "red"}), "there is no index");
  expect_refused(run("search", {"--index", index, "--model", model, "--data", folder_ / "missing"}),
                 "missing does not exist");
  std::filesystem::create_directory(folder_ / "empty");
  expect_refused(run("search", {"--index", index, "--model", model, "--data", folder_ / "empty"}),
                 "no PNG or JPEG picture");
  expect_refused(run("search", {"--index", index, "--data", data_.path()}), "expected --model DIR");
  ASSERT_EQ(run("search", {"--index", index, "--model", model, "--data", data_.path()}).exit_code, 0);
  expect_refused(run("search", {"--index", index, "--model", folder_ / "other/model", "red"}),
                 "was made with another model");
  expect_refused(run("search", {"--index", index, "--image", folder_ / "missing.png"}), "missing.png");
  expect_refused(run("search", {"--index", config(), "red"}), "config.json");
  const Outcome rebuilt = run("search", {"--index", index, "--model", folder_ / "other/model", "--data", data_.path()});
  ASSERT_EQ(rebuilt.exit_code, 0) << rebuilt.errors;
  EXPECT_TRUE(contains(rebuilt.errors, "made with another model")) << rebuilt.errors;
  EXPECT_TRUE(contains(rebuilt.errors, "40 embedded now")) << rebuilt.errors;
}

TEST_F(Programs, EvaluateScoresZeroShot) {
  ASSERT_EQ(train({"--output", folder_ / "run"}).exit_code, 0);
  const auto evaluate = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--model", folder_ / "run/model", "--task", "zero_shot", "--threads", "1"});
    return run("evaluate", arguments);
  };
  const Outcome fashion = evaluate({"--data", "data/fashion_mnist_1k"});
  ASSERT_EQ(fashion.exit_code, 0) << fashion.errors;
  EXPECT_TRUE(contains(fashion.output, "(1000 pictures, 10 classes, chance 10.0)")) << fashion.output;
  const Outcome json = evaluate({"--data", "data/fashion_mnist_1k", "--json", "--templates", "one"});
  ASSERT_EQ(json.exit_code, 0) << json.errors;
  const Json scores = Json::parse(json.output)["eval"]["all"]["zero_shot"];
  EXPECT_EQ(scores["pictures"], 1000);
  EXPECT_EQ(scores["confusion"].size(), 10u);
  EXPECT_TRUE(scores["classes"].contains("ankle boot"));

  std::filesystem::create_directories(folder_ / "classes/red");
  std::filesystem::create_directories(folder_ / "classes/blue");
  std::filesystem::copy(data_.path() + "/red_rows.png", folder_ / "classes/red/1.png");
  std::filesystem::copy(data_.path() + "/blue_rows.png", folder_ / "classes/blue/1.png");
  folder_.write("classes/blue/2.png", "not a picture");
  const Outcome folders =
      evaluate({"--data", folder_ / "classes", "--templates", folder_.write("templates.txt", "{}\n{} rows\n")});
  ASSERT_EQ(folders.exit_code, 0) << folders.errors;
  EXPECT_TRUE(contains(folders.output, "(2 pictures, 2 classes, chance 50.0)")) << folders.output;
  EXPECT_TRUE(contains(folders.errors, "1 of 3 pictures left out")) << folders.errors;

  expect_refused(evaluate({"--data", folder_ / "missing"}), "missing does not exist");
  expect_refused(evaluate({"--data", folder_ / "classes", "--classes", folder_ / "none.txt"}), "none.txt");
  expect_refused(evaluate({"--data", folder_ / "classes", "--classes", folder_.write("c.txt", "red\ngreen\n")}),
                 "is of class \"blue\", which is none of the 2 given classes");
  expect_refused(evaluate({"--data", folder_ / "classes", "--templates", folder_.write("t.txt", "a photo\n")}),
                 "has no {}");
  expect_refused(evaluate({"--data", folder_ / "classes", "--templates", "sevn"}), "sevn");
}

// Pictures by class, of two sources: the folder holds those of "train" and "more".
TEST_F(Programs, EvaluateProbesAndPages) {
  ASSERT_EQ(train({"--output", folder_ / "run"}).exit_code, 0);
  const auto evaluate = [&](const std::string& task, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--model", folder_ / "run/model", "--task", task, "--threads", "1"});
    return run("evaluate", arguments);
  };
  const std::string page = folder_ / "page.html", line = folder_ / "scores.json";
  const std::vector<std::string> fashion{"--data", "data/fashion_mnist_1k", "--html", page, "--json", line};
  const Outcome probe = evaluate("linear_probe", fashion);
  ASSERT_EQ(probe.exit_code, 0) << probe.errors;
  EXPECT_TRUE(contains(probe.output, "(500 pictures, 10 classes, chance 10.0)")) << probe.output;
  EXPECT_TRUE(contains(io::read_file(page), "Regularisation"));
  EXPECT_TRUE(contains(io::read_file(page), " taken for "));
  const Json scores = Json::parse(io::read_file(line))["eval"]["all, a half"]["linear_probe"];
  EXPECT_GT(scores["top1"], 30.0);
  EXPECT_EQ(scores["learned_from"], 500);
  EXPECT_GE(scores["sweep"].size(), 11u);
  const Outcome nearest = evaluate("knn", fashion);
  ASSERT_EQ(nearest.exit_code, 0) << nearest.errors;
  EXPECT_GT(Json::parse(io::read_file(line))["eval"]["all, a half"]["knn"]["20"]["weighted"]["top1"], 30.0);

  std::string table = "image\tsplit\tcaption\tcolour\tsource\tde\n";
  for (const char* colour : {"red", "green", "blue", "yellow"}) {
    for (const char* pattern : {"rows", "columns", "top", "left"})
      table += concat(data_.path(), "/", colour, "_", pattern, ".png\t", pattern[0] == 'l' ? "test" : "train", "\t",
                      colour, "\t", colour, "\t", pattern[0] == 'l' ? "new" : "old", "\t", colour, "e\n");
  }
  const std::string sources = folder_.write("sources.tsv", table);
  const Outcome gap = evaluate("robustness", {"--data", sources, "--json"});
  ASSERT_EQ(gap.exit_code, 0) << gap.errors;
  const Json zero_shot = Json::parse(gap.output)["eval"]["all"]["robustness"]["new"]["zero_shot"];
  EXPECT_EQ(zero_shot["captions"], 4);
  EXPECT_EQ(zero_shot["seen_pictures"], 12);
  EXPECT_EQ(zero_shot["held_out_pictures"], 4);
  expect_refused(evaluate("robustness", {"--data", sources, "--train-split", "train", "test"}),
                 "every source has pictures of split train, test");
  const Outcome colours = evaluate("linear_probe", {"--data", sources, "--train-split", "train", "--val-split", "train",
                                                    "--split", "test", "--c", "1", "--html", page});
  ASSERT_EQ(colours.exit_code, 0) << colours.errors;
  EXPECT_TRUE(contains(colours.output, "(4 pictures, 4 classes, chance 25.0)")) << colours.output;

  const Outcome german =
      evaluate("retrieval", {"--data", sources, "--split", "test", "--languages", "de", "caption", "--json"});
  ASSERT_EQ(german.exit_code, 0) << german.errors;
  EXPECT_EQ(Json::parse(german.output)["eval"]["test/de"]["i2t"]["candidates"], 4);
  EXPECT_EQ(Json::parse(german.output)["eval"]["test/caption"]["t2i"]["queries"], 4);
  const Outcome every = evaluate("retrieval", {"--data", sources, "--split", "train", "--caption-column", "caption",
                                               "de", "--every-caption", "--keep-equal", "--json"});
  ASSERT_EQ(every.exit_code, 0) << every.errors;
  EXPECT_EQ(Json::parse(every.output)["eval"]["train"]["i2t"]["candidates"], 24);

  ASSERT_EQ(train({"--output", folder_ / "other", "--seed", "5"}).exit_code, 0);
  const Outcome compared =
      run("compare_runs", {folder_ / "run", folder_ / "other", "--split", "test", "--svg", folder_ / "figure.svg"});
  ASSERT_EQ(compared.exit_code, 0) << compared.errors;
  EXPECT_TRUE(contains(compared.output, "R@1 image → text, test, percent")) << compared.output;
  EXPECT_TRUE(contains(io::read_file(folder_ / "figure.svg"), "Means of 2 seeds"));
  expect_refused(run("compare_runs", {folder_ / "run"}), "no split to compare");
}

TEST_F(Programs, TrainClipKnowsThePrecisions) {
  ASSERT_EQ(train({"--output", folder_ / "run", "--precision", "f64"}).exit_code, 0);
  EXPECT_EQ(run_config("run")["train"]["precision"], "f64");
  ASSERT_EQ(train({"--output", folder_ / "rounded", "--precision", "bf16"}).exit_code, 0);
  EXPECT_EQ(run_config("rounded")["train"]["precision"], "bf16");
  expect_refused(train({"--precision", "f16"}), "train.precision is \"f16\", expected one of f32, fp32, f64");
}

TEST_F(Programs, TrainClipRefusesWhatItDoesNotUnderstand) {
  expect_refused(train({"--set", "train.epoch=3"}), "unknown key train.epoch\nhint: did you mean train.epochs?");
  expect_refused(train({"--set", "train.epochs"}), "expected KEY=VALUE");
  expect_refused(train({"--set", R"(eval.splits=["tset"])"}), "no rows of split \"tset\"");
  expect_refused(run("train_clip", {"--config", folder_ / "missing.json"}), "missing.json: No such file");
  ASSERT_EQ(train({"--output", folder_ / "run"}).exit_code, 0);
  expect_refused(train({"--output", folder_ / "run"}), "already holds a run");
  const Outcome unknown = train({"--epoch", "3"});
  EXPECT_NE(unknown.exit_code, 0);
  EXPECT_TRUE(contains(unknown.errors, "--epoch")) << unknown.errors;
}

TEST_F(Programs, EvaluateRefusesWhatIsNotAModel) {
  expect_refused(run("evaluate", {"--model", folder_ / "missing", "--data", data_.path()}), "missing is not a folder");
  expect_refused(run("evaluate", {"--model", folder_.path(), "--data", data_.path()}), "has no \"format\"");
}

TEST_F(Programs, EvaluateNamesTheFileThatIsDamaged) {
  ASSERT_EQ(train({"--output", folder_ / "run"}).exit_code, 0);
  for (const char* name : {"model.safetensors", "config.json", "tokenizer.json", "preprocessor.json"}) {
    const std::string file = concat("run/model/", name);
    const std::string whole = io::read_file(folder_ / file);
    for (const std::size_t kept : {std::size_t{0}, whole.size() / 2}) {
      folder_.write(file, whole.substr(0, kept));
      expect_refused(run("evaluate", {"--model", folder_ / "run/model", "--data", data_.path(), "--split", "test"}),
                     name);
    }
    folder_.write(file, whole);
  }
}

TEST_F(Programs, EvaluateRefusesAnotherSplitOrColumn) {
  ASSERT_EQ(train({"--output", folder_ / "run"}).exit_code, 0);
  const auto evaluate = [&](const char* option, const char* value) {
    return run("evaluate", {"--model", folder_ / "run/model", "--data", data_.path(), option, value});
  };
  expect_refused(evaluate("--split", "tset"), "no rows of split \"tset\"");
  expect_refused(evaluate("--caption-column", "captoin"), "did you mean \"caption\"?");
}

TEST_F(Programs, CustomLossChecksItsGradientAndTrains) {
  const Outcome done =
      run("custom_loss", {concat("model=", tests::tiny_resnet_cbow), "data.path=" + data_.path(), "data.batch_size=8",
                          "eval.splits=[\"test\"]", "train.threads=1", "output=" + folder_ / "run"});
  ASSERT_EQ(done.exit_code, 0) << done.errors;
  EXPECT_TRUE(contains(done.output, "gradient check: passed")) << done.output;
  EXPECT_TRUE(contains(io::read_file(folder_ / "run/metrics.jsonl"), "\"eval\""));
  expect_refused(run("custom_loss", {"train.epoch=3"}), "did you mean train.epochs?");
}

TEST_F(Programs, RunHfGivesTheOriginalNumbers) {
  const std::string model = std::string(FOVEA_SOURCE_DIR) + "/tests/golden/published/hf_quick_gelu";
  const testing::Golden golden(model + "/outputs.safetensors");
  for (const bool f64 : {true, false}) {
    std::vector<std::string> arguments{
        model, "--inputs", model + "/inputs.safetensors", "--outputs", folder_ / "out", "--grad", "--threads", "1"};
    if (f64) arguments.insert(arguments.end(), {"--precision", "f64", "--layout", "hf"});
    const Outcome done = run("run_hf", arguments);
    ASSERT_EQ(done.exit_code, 0) << done.errors;
    const io::TensorMap outputs = io::load_safetensors(folder_ / "out");
    EXPECT_EQ(outputs.size(), golden.with_prefix("").size());
    for (const auto& [name, expected] : golden.with_prefix("")) {
      if (name.starts_with("grad.")) continue;  // compared with their own measure in models/run_hf_test.cc
      EXPECT_LE(testing::relative_error(outputs.at(name), expected, 1e-6), f64 ? 1e-9 : 1e-4) << name;
      EXPECT_EQ(outputs.at(name).dtype(), f64 ? DType::f64 : DType::f32);
    }
  }
  expect_refused(run("run_hf", {model, "--inputs", folder_ / "missing", "--outputs", folder_ / "out"}), "missing");
  expect_refused(
      run("run_hf", {folder_ / "no", "--inputs", model + "/inputs.safetensors", "--outputs", folder_ / "out"}),
      "no is not a folder");
  EXPECT_NE(run("run_hf", {model}).exit_code, 0);
}

TEST_F(Programs, ExportHfWritesTheLayoutsOfOthers) {
  const std::string published = std::string(FOVEA_SOURCE_DIR) + "/tests/golden/published/";
  const Outcome done = run("export_hf", {published + "hf_quick_gelu", folder_ / "open", "--layout", "open_clip"});
  ASSERT_EQ(done.exit_code, 0) << done.errors;
  EXPECT_TRUE(contains(done.errors, "hf_quick_gelu has no tokenizer")) << done.errors;
  EXPECT_EQ(Json::parse(io::read_file(folder_ / "open/open_clip_config.json"))["model_cfg"]["quick_gelu"], true);
  EXPECT_TRUE(io::load_safetensors(folder_ / "open/open_clip_model.safetensors").contains("visual.proj"));
  expect_refused(run("export_hf", {published + "open_clip_modified_resnet", folder_ / "out", "--layout", "hf"}),
                 "CLIPModel has no image tower but the vit");

  // A trained model goes out and comes back.
  ASSERT_EQ(train({"--output", folder_ / "run", "--set", concat("model=", tests::tiny_vit_transformer)}).exit_code, 0);
  const std::string model = folder_ / "run/model";
  ASSERT_EQ(run("export_hf", {model, folder_ / "hf", "--layout", "hf"}).exit_code, 0);
  const Outcome back = run("export_hf", {folder_ / "hf", folder_ / "back", "--layout", "fovea"});
  ASSERT_EQ(back.exit_code, 0) << back.errors;
  EXPECT_TRUE(back.errors.empty()) << back.errors;
  EXPECT_EQ(io::read_file(folder_ / "back/model.safetensors"), io::read_file(model + "/model.safetensors"));
  EXPECT_EQ(io::read_file(folder_ / "back/config.json"), io::read_file(model + "/config.json"));
  const auto score = [&](const std::string& of) {
    return run("evaluate", {"--model", of, "--data", data_.path(), "--split", "test", "--json"}).output;
  };
  const std::string scores = score(model);
  EXPECT_TRUE(contains(scores, "\"test\"")) << scores;
  EXPECT_EQ(score(folder_ / "back"), scores);
  EXPECT_EQ(score(folder_ / "hf"), scores);
  ASSERT_EQ(run("export_hf", {model, folder_ / "clip", "--layout", "open_clip"}).exit_code, 0);
  EXPECT_EQ(score(folder_ / "clip"), scores);
}

TEST_F(Programs, WriteShardsFeedsTrainClip) {
  const std::string shards = folder_ / "shards";
  const Outcome done = run("write_shards", {"--data", data_.path(), "--split", "train", "--csv-caption-key", "caption",
                                            "keywords", "--samples", "7", "--output", shards});
  ASSERT_EQ(done.exit_code, 0) << done.errors;
  EXPECT_EQ(done.output, "16 samples in 3 shards, 0 left out\n");
  const std::string bytes = io::read_file(shards + "/00002.tar");
  EXPECT_TRUE(bytes.starts_with("000020000.png"));
  EXPECT_TRUE(contains(bytes, "{\"caption\":\""));
  expect_refused(run("write_shards", {"--data", folder_ / "missing", "--output", shards}), "missing");
  const Outcome trained =
      run("train_clip",
          {"--set", concat("model=", tests::tiny_resnet_cbow), "--train-data", shards + "/{00000..00002}.tar",
           "--dataset-type", "webdataset", "--train-num-samples", "32", "--text-key", "caption", "keywords",
           "--val-data", data_.path(), "--batch-size", "8", "--epochs", "1", "--output", folder_ / "streamed"});
  if (contains(trained.errors, "has no libarchive")) GTEST_SKIP() << "this build has no libarchive";
  ASSERT_EQ(trained.exit_code, 0) << trained.errors;
  EXPECT_TRUE(contains(trained.errors + trained.output, "4 steps of 8 pairs")) << trained.errors;
  EXPECT_TRUE(contains(io::read_file(folder_ / "streamed/metrics.jsonl"), "\"test\""));
}

TEST_F(Programs, TrainTokenizerWritesAVocabulary) {
  folder_.write("captions.tsv",
                "split\tcaption\talt_caption\tkeywords\ntrain\tred square\t\tred, square\n"
                "train\tred rows\t\tred, rows\ntest\tzzzz zzzz zzzz\t\t\n");
  folder_.write("labels.tsv", "split\ten\tde\tes\tfr\tit\tpt\tnl\tpl\tsv\tru\tuk\thi\tzh\tja\tko\tth\tvi\n");
  const Outcome done = run("train_tokenizer", {"--data", folder_.path(), "--vocabulary-size", "520", "--output",
                                               folder_ / "tokenizer.json"});
  ASSERT_EQ(done.exit_code, 0) << done.errors;
  EXPECT_TRUE(contains(done.output, " 520 entries")) << done.output;
  const text::Tokenizer tokenizer = text::Tokenizer::load(folder_ / "tokenizer.json");
  EXPECT_EQ(tokenizer.vocabulary_size(), 520);
  EXPECT_EQ(tokenizer.encode("red", 16).size(), 3u);   // start, one word, end
  EXPECT_GT(tokenizer.encode("zzzz", 16).size(), 3u);  // a word of another split is not learnt
  expect_refused(run("train_tokenizer", {"--data", folder_ / "missing", "--output", folder_ / "t.json"}), "missing");
  expect_refused(run("train_tokenizer", {"--data", folder_.path()}), "expected --output or --source");
}

}  // namespace
}  // namespace fovea
