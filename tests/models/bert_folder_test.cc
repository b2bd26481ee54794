#include "fovea/models/bert_folder.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "../support/error_of.h"
#include "../support/temp_folder.h"
#include "fovea/io/file.h"
#include "fovea/models/model_folder.h"
#include "fovea/models/run_hf.h"
#include "fovea/tensor/factory.h"
#include "fovea/tensor/reduce.h"

namespace fovea::models {
namespace {

using tests::error_of;

const std::string published = std::string(FOVEA_SOURCE_DIR) + "/tests/golden/published/";

io::TensorMap run(const std::string& folder, const std::string& inputs) {
  return run_hf(folder, io::load_safetensors(published + inputs + "/inputs.safetensors"), {DType::f32, true, {}});
}

void expect_same(const io::TensorMap& a, const io::TensorMap& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a) EXPECT_EQ(count_different_bits(tensor, b.at(name)), 0) << name;
}

TEST(BertFolder, SurvivesEveryLayout) {
  for (const char* name : {"hf_bert", "hf_bert_without_pooler", "hf_bert_masked_lm"}) {
    const tests::TempFolder folder;
    const io::TensorMap original = run(published + name, name);
    std::filesystem::create_directories(folder / "from");
    for (const char* file : {"config.json", "model.safetensors"})
      std::filesystem::copy_file(published + name + "/" + file, folder / (std::string("from/") + file));
    io::write_file(folder / "from/vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nred\n##der\ncar\n");
    EXPECT_EQ(rewrite_model(folder / "from", folder / "own", ModelLayout::fovea), std::vector<std::string>{});
    EXPECT_EQ(rewrite_model(folder / "own", folder / "hf", ModelLayout::hf), std::vector<std::string>{});
    expect_same(run(folder / "own", name), original);
    expect_same(run(folder / "hf", name), original);
    const AnyBert model = load_bert(folder / "hf");
    const auto tokenizer = load_bert_tokenizer(folder / "hf", model);
    EXPECT_EQ(tokenizer->encode("Redder CAR"), (std::vector<std::int32_t>{2, 5, 6, 7, 3}));
    const std::string config = io::read_file(folder / "hf/tokenizer_config.json");
    EXPECT_NE(config.find(R"("mask_token": "[MASK]")"), std::string::npos);
  }
}

// The names of Google's conversions: a "bert." before the encoder's, gamma and beta, the heads of BertForPreTraining.
TEST(BertFolder, ReadsFilesOfLargerClassesAndEarlyNames) {
  const tests::TempFolder folder;
  io::TensorMap file = io::load_safetensors(published + "hf_bert_masked_lm/model.safetensors"), early;
  for (auto& [name, tensor] : file) {
    std::string renamed = name;
    for (const auto& [today, then] : {std::pair<std::string, std::string>{"LayerNorm.weight", "LayerNorm.gamma"},
                                      std::pair<std::string, std::string>{"LayerNorm.bias", "LayerNorm.beta"}}) {
      if (name.ends_with(today)) renamed = name.substr(0, name.size() - today.size()) + then;
    }
    early.emplace(renamed, tensor);
  }
  early["bert.pooler.dense.weight"] = full({21, 21}, 0.5);
  early["bert.pooler.dense.bias"] = full({21}, 0.5);
  early["bert.embeddings.position_ids"] = zeros({1, 12}, DType::i64);
  early["cls.seq_relationship.weight"] = zeros({2, 21});
  early["cls.seq_relationship.bias"] = zeros({2});
  early["cls.predictions.decoder.weight"] = early.at("bert.embeddings.word_embeddings.weight");
  early["cls.predictions.decoder.bias"] = early.at("cls.predictions.bias");
  io::save_safetensors(folder / "model.safetensors", early, {});
  const std::string config = io::read_file(published + "hf_bert_masked_lm/config.json");
  io::write_file(folder / "config.json", config);
  expect_same(run(folder.path(), "hf_bert_masked_lm"), run(published + "hf_bert_masked_lm", "hf_bert_masked_lm"));

  std::string encoder = config;  // the same file as a BertModel
  encoder.replace(encoder.find("BertForMaskedLM"), 15, "BertModel");
  io::write_file(folder / "config.json", encoder);
  const AnyBert model = load_bert(folder.path());
  EXPECT_EQ(std::get<Bert>(model).pooler->bias->value().at(3), 0.5);
  encoder.replace(encoder.find("BertModel"), 9, "BertForTokenClassification");
  io::write_file(folder / "config.json", encoder);
  EXPECT_NE(error_of([&] { load_bert(folder.path()); }).find("expected BertModel or BertForMaskedLM"),
            std::string::npos);
}

TEST(BertFolder, WhatDoesNotFitIsRefused) {
  const auto expect = [](const std::string& text, const std::string& part) {
    EXPECT_NE(text.find(part), std::string::npos) << "no \"" << part << "\" in: " << text;
  };
  const auto error_with = [&](const std::string& name, const std::string& input, const Tensor& value) {
    io::TensorMap inputs = io::load_safetensors(published + name + "/inputs.safetensors");
    inputs[input] = value;
    return error_of([&] { run_hf(published + name, inputs, {DType::f32, true, {}}); });
  };
  expect(error_with("hf_bert", "token_type_ids", full({4, 9}, 2, DType::i64)), "token_type_ids has 2 at (0, 0)");
  expect(error_with("hf_bert", "cotangent.pooler_output", zeros({4, 9})), "(4, 9), expected (4, 15) as the output");
  expect(error_with("hf_bert", "labels", zeros({4, 9}, DType::i64)), "no input \"labels\"");
  expect(error_with("hf_bert_masked_lm", "labels", full({4, 9}, 3, DType::i64)), "labels where attention_mask is 0");
  expect(error_with("hf_bert_masked_lm", "labels", full({4, 9}, 43, DType::i64)), "labels has 43 at (0, 0)");
  const std::string folder = published + "hf_bert";
  const Tensor ids = zeros({1, 2}, DType::i64);
  expect(error_of([&] { run_hf(folder, {{"input_ids", ids}}, {DType::f32, true, {}}); }), "gradients need a loss");
  expect(error_of([&] { run_hf(folder, {}); }), "there is no input, expected input_ids");
  const tests::TempFolder empty;
  expect(error_of([&] { rewrite_model(folder, empty / "x", ModelLayout::open_clip); }), "no BERT");
  const auto config_error = [&](const std::string& more) {
    io::write_file(empty / "config.json", R"({"model_type": "bert")" + more + "}");
    return error_of([&] { load_bert(empty.path()); });
  };
  expect(config_error(R"(, "position_embedding_type": "relative_key")"), "\"absolute\", the only value supported");
  expect(config_error(R"(, "is_decoder": true)"), "is_decoder is true");
  expect(config_error(R"(, "architectures": ["BertForMaskedLM"], "tie_word_embeddings": false)"),
         "tie_word_embeddings is false");
}

}  // namespace
}  // namespace fovea::models
