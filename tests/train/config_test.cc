// Defaults, files, --set, and every way to get them wrong.
#include "fovea/train/config.h"

#include <gtest/gtest.h>

#include "fovea/core/error.h"
#include "fovea/models/presets.h"

namespace fovea::train {
namespace {

std::string error_of(const std::string& json) {
  try {
    parse_config(json, "file.json");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

Config with(std::initializer_list<const char*> assignments) {
  Config config;
  for (const char* assignment : assignments) apply_set(config, assignment);
  return config;
}

std::string set_error(const std::string& assignment, Config config = {}) {
  try {
    apply_set(config, assignment);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Config, KeepsDefaultsForWhatIsLeftOut) {
  const Config config = parse_config(R"({"data": {"batch_size": 64}, "optim": {"betas": [0.8, 0.9]}})");
  EXPECT_EQ(config.data.batch_size, 64);
  EXPECT_EQ(config.data.image_column, DataConfig().image_column);
  EXPECT_EQ(config.optim.betas, (std::array<double, 2>{0.8, 0.9}));
  EXPECT_EQ(config.optim.lr, OptimConfig().lr);
  EXPECT_EQ(dump_config(parse_config("{}")), dump_config(Config()));
}

TEST(Config, ReadsEveryKeyAndWritesItBack) {
  const std::string text = R"({
  "model": {
    "image": {
      "type": "vit"
    }
  },
  "data": {
    "path": "d",
    "dataset_type": "coco",
    "num_samples": 11,
    "resampled": true,
    "upsampling_factors": "1::2",
    "shuffle_buffer": 12,
    "separator": "tab",
    "train_split": "t",
    "image_column": "i",
    "image_root": "r",
    "split_column": "s",
    "caption_columns": [
      "a",
      "b"
    ],
    "list_columns": [
      "b"
    ],
    "every_caption": true,
    "language_column": "l",
    "join": "j",
    "join_column": "jc",
    "word_dropout": 0.25,
    "batch_size": 3,
    "distinct_captions": true,
    "max_pixels": 1000,
    "workers": 0,
    "cache_bytes": 5,
    "tokenizer": "k",
    "feature_cache": "n",
    "feature_views": 3,
    "transform": {
      "size": 64
    }
  },
  "objective": {
    "name": "info_nce",
    "label_smoothing": 0.25,
    "sum_directions": true,
    "init_logit_scale": 2.5,
    "init_logit_bias": -2.75,
    "init_temperature": null,
    "clamp_logit_scale": false,
    "exchange": "gather"
  },
  "optim": {
    "name": "sgd",
    "lr": 0.25,
    "betas": [
      0.5,
      0.75
    ],
    "eps": 1e-08,
    "momentum": 0.5,
    "nesterov": true,
    "weight_decay": 0.125,
    "decay": [
      "d"
    ],
    "decay_rule": "big_vision",
    "no_decay": [
      "n"
    ],
    "image_layer_decay": 0.75,
    "text_layer_decay": 0.5,
    "ema_decay": 0.5,
    "ema_warmup": false
  },
  "schedule": {
    "kind": "const",
    "warmup_fraction": 0.5,
    "warmup_steps": 7,
    "cooldown_epochs": 1.5,
    "cooldown_end": 0.25,
    "cooldown_power": 2.0
  },
  "train": {
    "epochs": 5,
    "minutes": 1.5,
    "accum_freq": 4,
    "checkpointing": true,
    "max_memory": "m",
    "grad_clip_norm": 0.0,
    "image_from": "i",
    "lock_image": true,
    "lock_text": true,
    "freeze": [
      "f"
    ],
    "freeze_statistics": true,
    "virtual_batch": 2,
    "log_every": 2,
    "max_bad_steps": 8,
    "detect_anomaly": true,
    "profile": 5,
    "save_minutes": 0.5,
    "save_steps": 6,
    "save_epochs": 7,
    "keep_checkpoints": 3,
    "seed": 18446744073709551615,
    "threads": 2,
    "precision": "f64"
  },
  "eval": {
    "path": "e",
    "image_root": "er",
    "splits": [
      "v"
    ],
    "every_epochs": 4,
    "batch_size": 9
  },
  "output": "o"
}
)";
  EXPECT_EQ(dump_config(parse_config(text)), text);
}

TEST(Config, ModelAndTransformStayJsonText) {
  const Config config = parse_config(R"({"model": "ViT-B-32", "data": {"transform": {"size": 32}}})");
  EXPECT_EQ(config.model, "\"ViT-B-32\"");
  EXPECT_EQ(config.data.transform, R"({"size":32})");
}

TEST(Config, LoadsTheShippedQuickstart) {
  const Config config = load_config(FOVEA_SOURCE_DIR "/examples/configs/quickstart.json");
  EXPECT_EQ(config.model, "\"small-resnet-cbow\"");
  EXPECT_EQ(config.data.caption_columns, (std::vector<std::string>{"caption", "alt_caption", "keywords"}));
  EXPECT_EQ(config.optim.lr, 2e-3);
  EXPECT_EQ(config.eval.splits.size(), 7u);
  EXPECT_EQ(dump_config(parse_config(dump_config(config))), dump_config(config));
}

TEST(Config, LoadsTheShippedBestModel) {
  const Config config = load_config(FOVEA_SOURCE_DIR "/examples/configs/best.json");
  EXPECT_EQ(config.schedule.kind, "const-cooldown");
  EXPECT_EQ(config.train.epochs, 340);
  EXPECT_EQ(config.optim.ema_decay, 0.999);
  EXPECT_EQ(dump_config(parse_config(dump_config(config))), dump_config(config));
}

TEST(Config, FilesThatCannotBeReadAreNamed) {
  try {
    load_config("/no/such/file.json");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("/no/such/file.json: No such file"), std::string::npos) << error.what();
  }
}

TEST(Config, UnknownKeysNameTheirPathAndTheNearestKey) {
  EXPECT_EQ(error_of(R"({"data": {"batchsize": 4}})"),
            "[config] file.json: unknown key data.batchsize\nhint: did you mean data.batch_size?");
  EXPECT_EQ(error_of(R"({"optimizer": {}})"), "[config] file.json: unknown key optimizer\nhint: did you mean optim?");
  EXPECT_EQ(error_of(R"({"schedule": {"xxxxxxxxxxxx": 1}})"),
            "[config] file.json: unknown key schedule.xxxxxxxxxxxx\n"
            "hint: known keys are kind, warmup_fraction, warmup_steps, cooldown_epochs, cooldown_end, cooldown_power");
}

TEST(Config, WrongValuesAreRefusedNamingPathAndExpectation) {
  const struct {
    const char *json, *message;
  } wrong[] = {
      {"[]", "the whole is [], expected an object"},
      {R"({"data": 3})", "data is 3, expected an object"},
      {R"({"data": {"batch_size": "4"}})", "data.batch_size is \"4\", expected a whole number from 1 to 1000000000"},
      {R"({"data": {"batch_size": 0}})", "data.batch_size is 0, expected a whole number from 1 to 1000000000"},
      {R"({"data": {"batch_size": 1.5}})", "data.batch_size is 1.5, expected a whole number from 1 to 1000000000"},
      {R"({"data": {"workers": -1}})", "data.workers is -1, expected a whole number from 0 to 1000000000"},
      {R"({"train": {"epochs": 9223372036854775808}})",
       "train.epochs is 9223372036854775808, expected a whole number from 1 to 1000000000"},
      {R"({"train": {"minutes": 1e300}})", "train.minutes is 1e+300, expected a number from 0 to 10000000"},
      {R"({"train": {"seed": -1}})", "train.seed is -1, expected a whole number from 0"},
      {R"({"data": {"path": null}})", "data.path is null, expected text"},
      {R"({"eval": {"splits": "a"}})", "eval.splits is \"a\", expected a list such as [\"one\", \"two\"]"},
      {R"({"eval": {"splits": ["a", 2]}})", "eval.splits.1 is 2, expected text"},
      {R"({"optim": {"lr": 0}})", "optim.lr is 0, expected a number above 0"},
      {R"({"optim": {"betas": [0.9]}})", "optim.betas is [0.9], expected a list of 2 numbers"},
      {R"({"optim": {"betas": [0.9, 1]}})", "optim.betas.1 is 1, expected a number from 0 to below 1"},
      {R"({"optim": {"weight_decay": -0.5}})", "optim.weight_decay is -0.5, expected a number from 0"},
      {R"({"schedule": {"warmup_fraction": 2}})", "schedule.warmup_fraction is 2, expected a number from 0 to 1"},
      {R"({"schedule": {"kind": "step"}})",
       "schedule.kind is \"step\", expected one of cosine, const, const-cooldown, linear"},
      {R"({"objective": {"name": "x"}})", "objective.name is \"x\", expected one of info_nce, sigmoid, bag_of_words"}};
  for (const auto& [json, message] : wrong) {
    EXPECT_EQ(error_of(json), std::string("[config] file.json: ") + message);
  }
}

TEST(Config, MalformedJsonNamesFileAndPlace) {
  const std::string error = error_of("{\n  \"data\": {,}\n}");
  EXPECT_EQ(error.substr(0, error.find(": parse")), "[config] file.json: not valid JSON at byte 13");
  EXPECT_NE(error.find("line 2, column 12"), std::string::npos) << error;
  EXPECT_NE(error_of(R"({"output": "a", "output": "b"})").find("\"output\" appears twice"), std::string::npos);
  EXPECT_NE(error_of(R"({"model": )" + std::string(100000, '[')).find("nested deeper"), std::string::npos);
}

TEST(ConfigSet, ChangesOneKey) {
  Config expected;
  expected.train.minutes = 2.5;
  expected.train.seed = 7;
  expected.eval.splits = {"a", "b"};
  expected.output = "out/x=y";
  EXPECT_EQ(dump_config(with({"train.minutes=2.5", "train.seed=7", R"(eval.splits=["a","b"])", "output=out/x=y"})),
            dump_config(expected));
}

TEST(ConfigSet, TextNeedsNoQuotes) {
  EXPECT_EQ(with({"output=12"}).output, "12");
  EXPECT_EQ(with({"output=\"12\""}).output, "12");
  EXPECT_EQ(with({"output="}).output, "");
  EXPECT_EQ(with({"output=caf\xe9"}).output, "caf\xe9");  // not UTF-8: file names are bytes
  EXPECT_EQ(with({"model=ViT-B-32"}).model, "\"ViT-B-32\"");
  EXPECT_EQ(with({R"(model={"type": "clip"})"}).model, R"({"type":"clip"})");
}

TEST(ConfigSet, ReachesIntoTheModelAndTheTransforms) {
  EXPECT_EQ(with({"data.transform.affine.rotation=20", "data.transform.size=64"}).data.transform,
            R"({"affine":{"rotation":20},"size":64})");
  EXPECT_EQ(with({R"(model={"image": {"width": 8}})", "model.image.width=16"}).model, R"({"image":{"width":16}})");
}

TEST(ConfigSet, ChangesPartsOfAPreset) {
  const Config config = with({"model=small-vit", "model.image.patch_size=16"});
  const models::ClipConfig model = models::parse_clip_config(config.model);
  EXPECT_EQ(std::get<models::VisionTransformerConfig>(model.image).patch_size, 16);
  EXPECT_EQ(std::get<models::VisionTransformerConfig>(model.image).transformer.width, 256);
  EXPECT_NE(set_error("model.embed=3", with({"model=small-vti"})).find("did you mean small-vit?"), std::string::npos);
}

TEST(ConfigSet, ErrorsNameTheAssignment) {
  EXPECT_EQ(set_error("train.minute=3"),
            "[config] --set train.minute=3: unknown key train.minute\nhint: did you mean train.minutes?");
  EXPECT_EQ(set_error("train.epochs=many"),
            "[config] --set train.epochs=many: train.epochs is \"many\", expected a whole number from 1 to 1000000000");
  EXPECT_EQ(
      set_error("data.path.x=3"),
      "[config] --set data.path.x=3: data.path is \"data/emoji_clipart\", expected an object, to set a part of it");
  EXPECT_EQ(set_error("output"), "[config] --set output: expected KEY=VALUE");
  for (const char* key : {"", ".", "train..seed", ".train", "train.", "train.seed."}) {
    EXPECT_EQ(set_error(concat(key, "=3")),
              concat("[config] --set ", key, "=3: expected KEY=VALUE with a key such as train.minutes"));
  }
  EXPECT_NE(set_error("train=3"), "");
  EXPECT_NE(set_error("train.\xff=3"), "");
  EXPECT_NE(set_error("model.image" + std::string(100000, '.') + "=3"), "");
  std::string deep = "data.transform";
  for (int i = 0; i < 100000; ++i) deep += ".a";
  EXPECT_NE(set_error(deep + "=1").find("too many parts"), std::string::npos);
}

TEST(ConfigSet, AFailedChangeLeavesTheConfigAlone) {
  Config config;
  EXPECT_THROW(apply_set(config, "train.epochs=0"), Error);
  EXPECT_EQ(dump_config(config), dump_config(Config()));
}

TEST(ConfigSet, AModelThatIsNotJsonIsAnError) {
  Config config;
  config.model = "ViT-B-32";  // without the quotes of JSON text
  EXPECT_THROW(dump_config(config), Error);
  EXPECT_THROW(apply_set(config, "train.seed=1"), Error);
}

TEST(ScheduleConfig, WarmupCountsStepsOrAFraction) {
  ScheduleConfig schedule;
  schedule.warmup_fraction = 0.05;
  EXPECT_EQ(schedule.warmup(1000), 50);
  EXPECT_EQ(schedule.warmup(10), 1);
  schedule.warmup_steps = 12;
  EXPECT_EQ(schedule.warmup(1000), 12);
}

TEST(Config, PartsOfTheTransformThatAreLeftOutCountAsTheirDefaults) {
  const Config saved = parse_config(R"({"data": {"transform": {"size": 64}}})");
  Config now = parse_config(R"({"data": {"transform": {"size": 64, "augment": {"blur": {"probability": 0}}}}})");
  EXPECT_EQ(different_keys(saved, now), std::vector<std::string>{});
  apply_set(now, "data.transform.augment.blur.probability=0.5");
  EXPECT_EQ(different_keys(saved, now), std::vector<std::string>{"data.transform.augment.blur.probability"});
}

}  // namespace
}  // namespace fovea::train
