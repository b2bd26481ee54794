#include "fovea/models/clip_folder.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "../support/temp_folder.h"
#include "fovea/io/file.h"
#include "fovea/models/presets.h"
#include "fovea/nn/parameter_file.h"
#include "model_check.h"

namespace fovea::models {
namespace {

namespace fs = std::filesystem;

// A model folder that is not there yet.
struct ModelFolder {
  const tests::TempFolder parent;
  const std::string path = parent / "model";
  std::string file(const std::string& name) const { return path + "/" + name; }
};

ClipConfig tiny(bool vit) {
  if (vit) {
    VisionTransformerConfig image;
    image.image_size = 8;
    image.patch_size = 4;
    image.transformer = {8, 1, 2, 12, Activation::gelu, ops::AttentionKind::full, 1e-6};
    TextTransformerConfig text;
    text.vocabulary = 4096;
    text.context = 6;
    text.transformer = {8, 1, 2, 12, Activation::gelu, ops::AttentionKind::causal, 1e-5};
    text.pool = TextPool::last;
    return {image, text, 6};
  }
  return {ResNetConfig{8, 3, {4, 6}, {1, 1}}, CbowConfig{4096, 6, 7, false}, 6};
}

image::TransformConfig transform(int size = 8) {
  image::TransformConfig config;
  config.size = size;
  config.resize_mode = image::ResizeMode::squash;
  return config;
}

ClipModel make(const ClipConfig& config) {
  nn::Init init(1);
  return ClipModel(config, init);
}

void save(const std::string& folder, const ClipConfig& config) {
  save_clip(folder, make(config), text::default_tokenizer(), transform());
}

std::string load_error(const std::string& folder) {
  try {
    load_clip(folder);
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

void expect_contains(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << "no \"" << part << "\" in: " << text;
}

TEST(ClipFolder, RoundTripGivesTheSameEmbeddingsBitForBit) {
  for (const bool vit : {true, false}) {
    const ModelFolder folder;
    const ClipModel model = make(tiny(vit));
    data::Batch batch = testing::captions({{1, 5, 4095}, {1, 2, 3, 4095}});
    batch.images = testing::random_images(2, 8).to(DType::f32);
    model.embed(batch, nn::Ctx{.training = true});  // moves the statistics of the batch norms
    save_clip(folder.path, model, text::default_tokenizer(), transform());
    const ClipFolder loaded = load_clip(folder.path);
    EXPECT_EQ(to_json(loaded.model.config), to_json(model.config));
    const auto before = model.embed(batch, nn::Ctx{}), after = loaded.model.embed(batch, nn::Ctx{});
    EXPECT_EQ(count_different_bits(before.image.value(), after.image.value()), 0);
    EXPECT_EQ(count_different_bits(before.text.value(), after.text.value()), 0);
    EXPECT_EQ(before.logit_scale.item(), after.logit_scale.item());
    EXPECT_EQ(loaded.tokenizer.encode("a red apple"), text::default_tokenizer().encode("a red apple"));
    EXPECT_EQ(loaded.transform.size, 8);
    EXPECT_EQ(loaded.transform.resize_mode, image::ResizeMode::squash);
  }
}

TEST(ClipFolder, SavingReplacesAnOlderModel) {
  const ModelFolder folder;
  save(folder.path, tiny(true));
  save(folder.path, tiny(false));
  EXPECT_EQ(to_json(load_clip(folder.path).model.config), to_json(tiny(false)));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path), fs::directory_iterator{}), 4);
}

TEST(ClipFolder, MissingFilesAreNamed) {
  const ModelFolder folder;
  expect_contains(load_error(folder.path), folder.path + " is not a folder\nhint: ");
  for (const std::string name : {"config.json", "model.safetensors", "tokenizer.json", "preprocessor.json"}) {
    save(folder.path, tiny(false));
    fs::remove(folder.file(name));
    expect_contains(load_error(folder.path), folder.file(name));
  }
}

TEST(ClipFolder, CorruptFilesAreNamed) {
  const ModelFolder folder;
  for (const std::string name : {"config.json", "model.safetensors", "tokenizer.json", "preprocessor.json"}) {
    for (const std::string contents : {"", "{", "[]", "{}", "\xff\xfe", "12345678901234567890"}) {
      save(folder.path, tiny(false));
      io::write_file(folder.file(name), contents);
      if (name == "preprocessor.json" && contents == "{}") continue;  // all keys have defaults
      expect_contains(load_error(folder.path), folder.file(name));
    }
    save(folder.path, tiny(false));
    const std::string whole = io::read_file(folder.file(name));
    io::write_file(folder.file(name), whole.substr(0, whole.size() / 2));
    expect_contains(load_error(folder.path), folder.file(name));
  }
}

TEST(ClipFolder, ConfigErrorsNameFileAndKey) {
  const ModelFolder folder;
  save(folder.path, tiny(false));
  const std::string config = folder.file("config.json");
  io::write_file(
      config, R"({"format": "fovea/1", "model": {"image": {"type": "resnet", "stem": 3}, "text": {"type": "cbow"}}})");
  expect_contains(load_error(folder.path), "unknown key model.image.stem");
  expect_contains(load_error(folder.path), config);
  io::write_file(config, R"({"format": "fovea/1", "model": {"image": {"type": "vit", "width": 10, "heads": 3},
                             "text": {"type": "cbow"}}})");
  expect_contains(load_error(folder.path), "width 10 is not a multiple of 3 heads");
  expect_contains(load_error(folder.path), config);
  io::write_file(config, R"({"format": "fovea/1"})");
  expect_contains(load_error(folder.path), config + " has no \"model\"");
  for (const std::string format :
       {R"({"model": {}})", R"({"format": 1, "model": {}})", R"({"format": "fovea/9", "model": {}})"}) {
    io::write_file(config, format);
    expect_contains(load_error(folder.path), config + " has no \"format\": \"fovea/1\"");
  }
  io::write_file(config, R"({"model_type": "clip"})");  // all keys have defaults
  expect_contains(load_error(folder.path), "model.safetensors does not fit the model");
}

TEST(ClipFolder, FilesMustFitEachOther) {
  const ModelFolder folder;
  save(folder.path, tiny(false));
  const ClipModel another = make(tiny(true));
  nn::save_parameters(folder.file("model.safetensors"), nn::collect(another));
  expect_contains(load_error(folder.path), "model.safetensors does not fit the model");

  save_clip(folder.path, make(tiny(false)), text::default_tokenizer(), transform(9));
  expect_contains(load_error(folder.path), "preprocessor.json gives 9 pixels, the model expects 8");

  ClipConfig config = tiny(false);
  std::get<CbowConfig>(config.text).vocabulary = 100;
  save(folder.path, config);
  expect_contains(load_error(folder.path), "tokenizer.json has 4096 entries, the model knows 100");
}

TEST(ClipFolder, RefusesAFolderThatCannotBeMade) {
  const ModelFolder folder;
  io::write_file(folder.path, "a file");
  EXPECT_THROW(save(folder.path + "/model", tiny(false)), Error);
}

}  // namespace
}  // namespace fovea::models
