// Classifiers against open_clip's (tests/golden/make_zero_shot_golden.py), scores against counting by hand.
#include "fovea/eval/zero_shot.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "../support/error_of.h"
#include "../support/temp_folder.h"
#include "fovea/data/lines.h"
#include "fovea/models/presets.h"
#include "fovea/nn/parameter_file.h"
#include "fovea/tensor/factory.h"
#include "fovea/testing/golden.h"

namespace fovea::eval {
namespace {

using tests::error_of;

models::ClipModel load_model(const testing::Golden& golden, DType dtype) {
  nn::Init init = nn::Init::none(dtype);
  models::ClipModel model(models::parse_clip_config(golden.metadata("config")), init);
  const io::TensorMap values = golden.with_prefix("param.");
  for (nn::ParamEntry& entry : nn::collect(model)) {
    Tensor destination = entry.value();
    destination.copy_from(nn::from_file_layout(entry, values.at(entry.path)));
  }
  return model;
}

TEST(ZeroShot, ClassifierEqualsOpenClips) {
  const testing::Golden golden(FOVEA_SOURCE_DIR "/tests/golden/zero_shot.safetensors");
  const text::Tokenizer bytes{std::span<const text::BpeMerge>()};
  const image::TransformConfig transform;
  const auto classes = data::text_lines(golden.metadata("classes"));
  const auto templates = data::text_lines(golden.metadata("templates"));
  for (const DType dtype : {DType::f32, DType::f64}) {
    const models::ClipModel model = load_model(golden, dtype);
    for (const std::int64_t batch_size : {1, 4, 256}) {
      const Tensor ours = zero_shot_classifier({model, bytes, transform, batch_size}, classes, templates);
      // Embeddings are f32 whatever the model computes in.
      const auto same = testing::compare_tensors({{"classifier", ours}}, {{"classifier", golden["out.classifier"]}},
                                                 dtype == DType::f32 ? 1e-5 : 1e-6);
      EXPECT_TRUE(same) << same.message;
    }
  }
}

TEST(ZeroShot, TemplatesNeedAPlaceForTheClass) {
  const testing::Golden golden(FOVEA_SOURCE_DIR "/tests/golden/zero_shot.safetensors");
  const models::ClipModel model = load_model(golden, DType::f32);
  const text::Tokenizer bytes{std::span<const text::BpeMerge>()};
  const image::TransformConfig transform;
  const ClipEncoder encoder{model, bytes, transform};
  const std::vector<std::string> classes{"cat"}, none, blank{"a photo"};
  EXPECT_NE(error_of([&] { zero_shot_classifier(encoder, classes, blank); }).find("\"a photo\" has no {}"),
            std::string::npos);
  EXPECT_NE(error_of([&] { zero_shot_classifier(encoder, none, classes); }).find("0 classes and 1 templates"),
            std::string::npos);
  EXPECT_EQ(seven_templates().size(), 7u);

  const tests::TempFolder folder;
  EXPECT_EQ(load_templates(folder.write("good.txt", "a {}\n\n {} , {}. \r\n")),
            (std::vector<std::string>{"a {}", "{} , {}."}));
  EXPECT_NE(
      error_of([&] { load_templates(folder.write("bad.txt", "a {}\na photo")); }).find("bad.txt: template \"a photo\""),
      std::string::npos);
}

// Three classes on the axes; pictures that lean to one of them, or to two alike.
TEST(ZeroShot, ScoresCountFirstAnswers) {
  const Tensor classes = from_values<float>({3, 3}, {1, 0, 0, 0, 1, 0, 0, 0, 1});
  const Tensor pictures = from_values<float>({5, 3}, {1, 0, 0,           // class 0
                                                      0, 1, 0,           // class 1
                                                      0, 0.6f, 0.8f,     // class 2
                                                      0.6f, 0.6f, 0.5f,  // a tie of 0 and 1: the smaller index
                                                      0, 0.6f, 0.6f});   // a tie of 1 and 2
  const std::vector<std::int64_t> labels{0, 1, 1, 0, 1};
  const ClassificationScores scores = zero_shot_scores(pictures, classes, labels);
  EXPECT_DOUBLE_EQ(scores.top1, 80);
  EXPECT_DOUBLE_EQ(scores.top5, 100);  // of three
  EXPECT_EQ(scores.confusion, (std::vector<std::int64_t>{2, 0, 0, 0, 2, 1, 0, 0, 0}));
  EXPECT_DOUBLE_EQ(class_accuracy(scores, 1), 200.0 / 3);
  EXPECT_TRUE(std::isnan(class_accuracy(scores, 2)));
  EXPECT_DOUBLE_EQ(scores.mean_per_class, (100 + 200.0 / 3) / 2);

  const std::vector<std::string> names{"red", "green", "a \"blue\" one"};
  const ZeroShotSplit split{"test", scores};
  const auto line = nlohmann::json::parse(zero_shot_line(std::span(&split, 1), names));
  const auto& json = line["eval"]["test"]["zero_shot"];
  EXPECT_EQ(json["top1"], 80.0);
  EXPECT_EQ(json["pictures"], 5);
  EXPECT_EQ(json["confusion"][1], (std::vector<int>{0, 2, 1}));
  EXPECT_EQ(json["classes"]["red"], 100.0);
  EXPECT_TRUE(json["classes"]["a \"blue\" one"].is_null());
}

TEST(ZeroShot, ScoresRefuseWhatDoesNotFit) {
  const Tensor classes = from_values<float>({2, 2}, {1, 0, 0, 1});
  const std::vector<std::int64_t> labels{0, 2}, one{0};
  EXPECT_NE(error_of([&] { zero_shot_scores(classes, classes, labels); }).find("label 2 of picture 1"),
            std::string::npos);
  EXPECT_NE(error_of([&] { zero_shot_scores(classes, classes, one); }).find("2 pictures and 1 labels"),
            std::string::npos);
  EXPECT_NE(error_of([&] {
              zero_shot_scores(full({1, 2}, NAN), classes, one);
            }).find("not a number"),
            std::string::npos);
}

}  // namespace
}  // namespace fovea::eval
