#include "fovea/models/clip_layouts.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "../support/error_of.h"
#include "../support/temp_folder.h"
#include "fovea/io/file.h"
#include "fovea/models/clip_folder.h"
#include "fovea/tensor/reduce.h"

namespace fovea::models {
namespace {

using tests::error_of;

const std::string published = std::string(FOVEA_SOURCE_DIR) + "/tests/golden/published/";

void expect_contains(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << "no \"" << part << "\" in: " << text;
}

// Bookkeeping that has no parameters is not written back.
io::TensorMap parameters_of(const std::string& file) {
  io::TensorMap tensors = io::load_safetensors(file);
  std::erase_if(tensors, [](const auto& item) {
    return item.first.ends_with("num_batches_tracked") || item.second.dtype() == DType::i64;
  });
  return tensors;
}

void expect_same_bytes(const io::TensorMap& ours, const io::TensorMap& theirs) {
  ASSERT_EQ(ours.size(), theirs.size());
  for (const auto& [name, tensor] : theirs) {
    const auto own = ours.find(name);
    ASSERT_NE(own, ours.end()) << name;
    ASSERT_EQ(own->second.shape(), tensor.shape()) << name;
    EXPECT_EQ(count_different_bits(own->second, tensor), 0) << name;
  }
}

// The model of a folder, written in `layout` to a folder of its own.
std::string exported(const tests::TempFolder& parent, const std::string& from, ModelLayout layout, const char* name) {
  export_clip(parent / name, layout, load_clip_model(from).model, nullptr, nullptr);
  return parent / name;
}

TEST(ClipLayouts, FilesComeBackUnchangedThroughEveryLayout) {
  for (const std::string name : {"hf_quick_gelu", "hf_gelu_legacy_end", "open_clip_vit", "open_clip_modified_resnet"}) {
    const tests::TempFolder folder;
    const bool hf = name.starts_with("hf");
    const std::string file = hf ? "/model.safetensors" : "/open_clip_model.safetensors";
    const ModelLayout own = hf ? ModelLayout::hf : ModelLayout::open_clip;
    const std::string through_fovea = exported(folder, published + name, ModelLayout::fovea, "fovea");
    const std::string back = exported(folder, through_fovea, own, "back");
    expect_same_bytes(parameters_of(back + file), parameters_of(published + name + file));
    if (name == "open_clip_modified_resnet") continue;  // Hugging Face has no such tower
    const std::string other =
        exported(folder, published + name, hf ? ModelLayout::open_clip : ModelLayout::hf, "other");
    expect_same_bytes(parameters_of(exported(folder, other, own, "again") + file),
                      parameters_of(published + name + file));
  }
}

TEST(ClipLayouts, CheckpointsOfDistributedTrainingHaveAPrefix) {
  const tests::TempFolder folder;
  const std::string plain = published + "open_clip_vit_custom_text";
  io::TensorMap renamed;
  for (const auto& [name, tensor] : io::load_safetensors(plain + "/open_clip_model.safetensors"))
    renamed.emplace("module." + name, tensor);
  io::save_safetensors(folder / "epoch_3.safetensors", renamed);
  folder.write("open_clip_config.json", io::read_file(plain + "/open_clip_config.json"));
  const LoadedClip loaded = load_clip_model(folder.path());
  EXPECT_EQ(loaded.naming.prefix, "module.");
  EXPECT_TRUE(loaded.naming.custom_text);
  io::TensorMap written;
  for (const nn::FileTensor& tensor : clip_file_tensors(loaded.model, loaded.naming))
    written.emplace(tensor.name, tensor.value());
  expect_same_bytes(written, renamed);
  io::save_safetensors(folder / "epoch_4.safetensors", renamed);
  expect_contains(error_of([&] { load_clip_model(folder.path()); }), "several files of parameters");
}

TEST(ClipLayouts, ParametersMayLieInSeveralFiles) {
  const tests::TempFolder folder;
  const std::string plain = published + "hf_quick_gelu";
  const io::TensorMap all = io::load_safetensors(plain + "/model.safetensors");
  io::TensorMap halves[2];
  std::string map;
  for (const auto& [name, tensor] : all) {
    const int half = halves[0].size() < all.size() / 2 ? 0 : 1;
    halves[half].emplace(name, tensor);
    map += concat(map.empty() ? "" : ", ", "\"", name, "\": \"half-", half, ".safetensors\"");
  }
  for (const int half : {0, 1}) io::save_safetensors(folder / concat("half-", half, ".safetensors"), halves[half]);
  folder.write("config.json", io::read_file(plain + "/config.json"));
  folder.write("model.safetensors.index.json", "{\"metadata\": {}, \"weight_map\": {" + map + "}}");
  io::TensorMap written;
  const LoadedClip loaded = load_clip_model(folder.path());
  for (const nn::FileTensor& tensor : clip_file_tensors(loaded.model, loaded.naming))
    written.emplace(tensor.name, tensor.value());
  expect_same_bytes(written, all);

  const auto error_with = [&](const std::string& index) {
    folder.write("model.safetensors.index.json", index);
    return error_of([&] { load_clip_model(folder.path()); });
  };
  expect_contains(error_with("{}"), "no object \"weight_map\"");
  expect_contains(error_with(R"({"weight_map": {"x": "../half-0.safetensors"}})"), "a file beside the index");
  expect_contains(error_with(R"({"weight_map": {"x": "half-0.safetensors"}})"), "which does not hold it");
  expect_contains(error_with(R"({"weight_map": {"logit_scale": "half-0.safetensors"}})"), "does not name");
  expect_contains(error_with(R"({"weight_map": {"x": "half-2.safetensors"}})"), "half-2.safetensors");
}

TEST(ClipLayouts, NarrowFilesAreReadAsF32) {
  const LoadedClip original = load_clip_model(published + "hf_quick_gelu");
  for (const io::FloatFormat format : {io::FloatFormat::bf16, io::FloatFormat::f16}) {
    const tests::TempFolder folder;
    export_clip(folder / "narrow", ModelLayout::fovea, original.model, nullptr, nullptr, format);
    EXPECT_LT(std::filesystem::file_size(folder / "narrow/model.safetensors"),
              std::filesystem::file_size(published + "hf_quick_gelu/model.safetensors") * 3 / 5);
    const LoadedClip narrow = load_clip_model(folder / "narrow");
    const auto before = nn::collect(original.model), after = nn::collect(narrow.model);
    for (std::size_t i = 0; i < before.size(); ++i) {
      const Tensor expected = before[i].value(), found = after[i].value();
      for (std::int64_t j = 0; j < expected.numel(); ++j) {
        const double tolerance = format == io::FloatFormat::bf16 ? 1.0 / 256 : 1.0 / 2048;
        ASSERT_NEAR(found.at(j), expected.at(j), tolerance * std::abs(expected.at(j)) + 1e-7) << before[i].path;
      }
    }
  }
}

TEST(ClipLayouts, ParametersOfAnotherModelAreNamed) {
  const tests::TempFolder folder;
  folder.write("config.json", io::read_file(published + "hf_gelu_legacy_end/config.json"));
  folder.write("model.safetensors", io::read_file(published + "hf_gelu_tanh_inner_end/model.safetensors"));
  const std::string error = error_of([&] { load_clip_model(folder.path()); });
  expect_contains(error, "model.safetensors does not fit the model, ");
  expect_contains(error, "text_model.embeddings.token_embedding.weight is (50, 20) in the file, (50, 16) in the model");
  folder.write("model.safetensors", io::read_file(published + "open_clip_vit/open_clip_model.safetensors"));
  expect_contains(error_of([&] { load_clip_model(folder.path()); }), "missing: text_model.embeddings.");
}

std::string config_error(const char* file, const std::string& json) {
  const tests::TempFolder folder;
  folder.write(file, json);
  folder.write("model.safetensors", io::read_file(published + "openai_vit/model.safetensors"));
  return error_of([&] { load_clip_model(folder.path()); });
}

TEST(ClipLayouts, ConfigurationsOfHuggingFaceAreChecked) {
  const auto error = [](const std::string& keys) {
    return config_error("config.json", R"({"model_type": "clip", )" + keys + "}");
  };
  expect_contains(error(R"("text_config": {"hidden_size": "16"})"),
                  "config.json: text_config.hidden_size is \"16\", expected a whole number");
  expect_contains(error(R"("vision_config": {"num_channels": 1})"), "vision_config.num_channels is 1, expected 3");
  expect_contains(error(R"("vision_config": {"image_size": [8, 9]})"),
                  "vision_config.image_size is [8,9], expected a square");
  expect_contains(error(R"("text_config": {"hidden_act": "mish"})"), "expected one of quick_gelu, gelu, ");
  expect_contains(error(R"("text_config": {"layer_norm_eps": 0})"), "text_config.layer_norm_eps is 0");
  expect_contains(error(R"("text_config": [])"), "text_config is [], expected an object");
  expect_contains(error(R"("text_config": {"hidden_size": 10, "num_attention_heads": 3})"),
                  "width 10 is not a multiple of 3 heads\nin ");
  // An older "text_config_dict" stands in the place of text_config.
  expect_contains(error(R"("text_config": {}, "text_config_dict": {"hidden_size": 0})"),
                  "text_config_dict.hidden_size is 0");
}

TEST(ClipLayouts, OptionsOfOpenClipThatAreMissingAreRefused) {
  const auto error = [](const std::string& vision, const std::string& text, const std::string& more = "") {
    return config_error("open_clip_config.json", R"({"model_cfg": {"embed_dim": 8, "vision_cfg": {)" + vision +
                                                     R"(}, "text_cfg": {)" + text + "}" + more + "}}");
  };
  expect_contains(error(R"("timm_model_name": "vit_base")", ""),
                  "model_cfg.vision_cfg.timm_model_name is \"vit_base\"");
  expect_contains(error(R"("pool_type": "avg")", ""), "vision_cfg.pool_type is \"avg\", expected \"tok\"");
  expect_contains(error(R"("attentional_pool": true)", ""), "vision_cfg.attentional_pool is true");
  expect_contains(error(R"("layers": [1, 1, 1, 1], "head_width": 32)", ""), "vision_cfg.head_width is 32");
  expect_contains(error("", R"("hf_model_name": "roberta")"), "text_cfg.hf_model_name is \"roberta\"");
  expect_contains(error("", R"("embed_cls": true)"), "text_cfg.embed_cls is true");
  expect_contains(error("", R"("proj_type": "none")"), "text_cfg.proj_type is \"none\"");
  expect_contains(error("", R"("norm_kwargs": {"bias": false})"), "unknown key model_cfg.text_cfg.norm_kwargs.bias");
  expect_contains(error("", "", R"(, "multimodal_cfg": {})"), "model_cfg.multimodal_cfg is {}");
  expect_contains(config_error("open_clip_config.json", "{}"), "has no \"model_cfg\"");
  expect_contains(config_error("open_clip_config.json", R"({"model_cfg": {}})"), "model_cfg.embed_dim is missing");
}

TEST(ClipLayouts, TowersThatOthersLackAreNotExported) {
  const tests::TempFolder folder;
  nn::Init init(1);
  const ClipModel own(ClipConfig{ResNetConfig{8, 3, {4, 6}, {1, 1}}, CbowConfig{40, 6, 7, false}, 6}, init);
  for (const ModelLayout layout : {ModelLayout::hf, ModelLayout::open_clip}) {
    const std::string error = error_of([&] { export_clip(folder / "out", layout, own, nullptr, nullptr); });
    expect_contains(error, "hint: --layout fovea writes every model");
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "out"));
  const ClipModel resnet = load_clip_model(published + "open_clip_modified_resnet").model;
  expect_contains(error_of([&] { export_clip(folder / "out", ModelLayout::hf, resnet, nullptr, nullptr); }),
                  "Hugging Face's CLIPModel has no image tower but the vit");
}

TEST(ClipLayouts, TheSizesOfOpenAisModelsAreSeen) {
  const tests::TempFolder folder;
  folder.write("model.safetensors", io::read_file(published + "hf_quick_gelu/model.safetensors"));
  expect_contains(error_of([&] { load_clip_model(folder.path(), ModelLayout::open_clip); }),
                  "has no parameter text_projection\nhint: without open_clip_config.json");
}

}  // namespace
}  // namespace fovea::models
