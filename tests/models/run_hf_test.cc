// Published model folders against what the original classes compute: files made by
// tests/golden/make_published_golden.py, in f64.
#include "fovea/models/run_hf.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "../support/error_of.h"
#include "../support/temp_folder.h"
#include "fovea/io/file.h"
#include "fovea/tensor/factory.h"
#include "fovea/tensor/reduce.h"
#include "fovea/testing/golden.h"

namespace fovea::models {
namespace {

using tests::error_of;

const std::string published = std::string(FOVEA_SOURCE_DIR) + "/tests/golden/published/";

io::TensorMap inputs_of(const std::string& name) {
  return io::load_safetensors(published + name + "/inputs.safetensors");
}

// Those of the published class; some of its outputs have no counterpart in open_clip.
void expect_parity(const std::string& name, DType precision, const std::string& where) {
  const testing::Golden golden(published + name + "/outputs.safetensors");
  const bool hf = name.starts_with("hf");
  const RunOptions options{precision, true, hf ? ModelLayout::hf : ModelLayout::open_clip};
  io::TensorMap outputs = run_hf(published + name, inputs_of(name), options), gradients;
  for (auto item = outputs.begin(); item != outputs.end();) {
    const auto next = std::next(item);
    if (item->first.starts_with("grad.")) gradients.insert(outputs.extract(item));
    if (!hf && item->first.find("_model_output.") != std::string::npos) outputs.erase(item);
    item = next;
  }
  io::TensorMap expected = golden.with_prefix(""), expected_gradients;
  for (const auto& [gradient, value] : golden.with_prefix("grad.")) {
    expected.erase("grad." + gradient);
    expected_gradients.emplace("grad." + gradient, value);
  }
  const double tolerance = precision == DType::f32 ? 1e-4 : 1e-9;
  const auto same_outputs = testing::compare_tensors(outputs, expected, tolerance);
  EXPECT_TRUE(same_outputs) << where << " " << same_outputs.message;
  const auto same_gradients = testing::compare_gradients(gradients, expected_gradients, tolerance);
  EXPECT_TRUE(same_gradients) << where << " " << same_gradients.message;
}

class Published : public ::testing::TestWithParam<const char*> {};

TEST_P(Published, GivesTheOriginalNumbers) {
  expect_parity(GetParam(), DType::f64, "f64");
  testing::for_each_isa([](const std::string& isa) { expect_parity(GetParam(), DType::f32, "f32 " + isa); });
}

INSTANTIATE_TEST_SUITE_P(RunHf, Published,
                         ::testing::Values("hf_quick_gelu", "hf_gelu_legacy_end", "hf_gelu_tanh_inner_end", "hf_siglip",
                                           "hf_siglip_odd", "open_clip_vit", "open_clip_vit_custom_text",
                                           "open_clip_siglip", "open_clip_modified_resnet", "openai_vit", "hf_bert",
                                           "hf_bert_without_pooler", "hf_bert_masked_lm", "hf_bert_masked_lm_tanh"));

const std::string folder = published + "hf_quick_gelu";

TEST(RunHf, PicturesOrTextsAloneGiveTheirEmbeddings) {
  io::TensorMap inputs = inputs_of("hf_quick_gelu");
  const io::TensorMap both = run_hf(folder, inputs);
  EXPECT_TRUE(both.contains("loss"));
  const Tensor pixels = inputs.at("pixel_values");
  const io::TensorMap pictures = run_hf(folder, {{"pixel_values", pixels}});
  EXPECT_EQ(count_different_bits(pictures.at("image_embeds"), both.at("image_embeds")), 0);
  EXPECT_FALSE(pictures.contains("text_embeds") || pictures.contains("logits_per_image"));
  inputs.erase("pixel_values");
  const io::TensorMap texts = run_hf(folder, inputs);
  EXPECT_EQ(count_different_bits(texts.at("text_embeds"), both.at("text_embeds")), 0);
  EXPECT_FALSE(texts.contains("image_embeds") || texts.contains("loss"));
  inputs["pixel_values"] = pixels.rows(0, 2);  // not as many pictures as texts: no loss
  const io::TensorMap some = run_hf(folder, inputs);
  EXPECT_EQ(some.at("logits_per_image").shape(), (Shape{2, 4}));
  EXPECT_FALSE(some.contains("loss"));
  EXPECT_NE(error_of([&] {
              run_hf(folder, inputs, {DType::f32, true, {}});
            }).find("2 pictures and 4 texts"),
            std::string::npos);
}

TEST(RunHf, PadsDoNotMatter) {
  io::TensorMap inputs = inputs_of("hf_quick_gelu");
  const io::TensorMap before = run_hf(folder, inputs);
  Tensor ids = inputs.at("input_ids").clone();
  const Tensor& mask = inputs.at("attention_mask");
  for (std::int64_t i = 0; i < ids.numel(); ++i) {
    if (mask.at(i) == 0) ids.mutable_data<std::int64_t>()[i] = 31;
  }
  inputs["input_ids"] = ids;
  const io::TensorMap after = run_hf(folder, inputs);
  EXPECT_EQ(count_different_bits(before.at("text_embeds"), after.at("text_embeds")), 0);
  inputs.erase("attention_mask");  // the tokens behind the end are then real, but the end does not see them
  EXPECT_LT(testing::relative_error(run_hf(folder, inputs).at("text_embeds"), before.at("text_embeds"), 1e-6), 1e-5);
}

TEST(RunHf, InputsThatDoNotFitAreRefused) {
  const io::TensorMap inputs = inputs_of("hf_quick_gelu");
  const auto error_with = [&](const std::string& name, const Tensor& value) {
    io::TensorMap changed = inputs;
    changed[name] = value;
    return error_of([&] { run_hf(folder, changed); });
  };
  const auto expect = [](const std::string& text, const std::string& part) {
    EXPECT_NE(text.find(part), std::string::npos) << "no \"" << part << "\" in: " << text;
  };
  expect(error_with("pixel_values", zeros({4, 16, 16, 3})), "(4, 16, 16, 3), expected floating point (N, 3, 16, 16)");
  expect(error_with("pixel_values", zeros({4, 3, 16, 16}, DType::u8)), "pixel_values is u8");
  expect(error_with("input_ids", zeros({4, 11}, DType::i64)), "11 tokens a text, the model has 10 positions");
  expect(error_with("input_ids", full({4, 10}, 50, DType::i64)), "50 at (0, 0), the model's vocabulary has 50 entries");
  expect(error_with("input_ids", full({4, 10}, -1, DType::i64)), "-1 at (0, 0)");
  expect(error_with("input_ids", zeros({4, 10})), "input_ids is f32");
  expect(error_with("attention_mask", zeros({4, 9}, DType::i64)),
         "attention_mask is (4, 9), expected the shape (4, 10)");
  expect(error_with("attention_mask", full({4, 10}, 2, DType::i64)), "attention_mask has 2 at (0, 0)");
  expect(error_with("attention_maks", zeros({4, 10}, DType::i64)), "did you mean \"attention_mask\"?");
  expect(error_of([&] { run_hf(folder, {}); }), "there is no input");
  expect(error_of([&] { run_hf(folder, {{"attention_mask", zeros({4, 10}, DType::i64)}}); }), "without input_ids");
  expect(error_of([&] {
           run_hf(folder, {{"pixel_values", inputs.at("pixel_values")}}, {DType::f32, true, {}});
         }),
         "gradients need a loss, which needs both");
  expect(error_of([&] { run_hf(folder, inputs, {DType::bf16, false, {}}); }), "precision is bf16");
}

TEST(RunHf, UnknownModelsAreRefused) {
  const tests::TempFolder empty;
  EXPECT_NE(error_of([&] { run_hf(empty.path(), {}); }).find("config.json"), std::string::npos);
  empty.write("config.json", R"({"model_type": "blip"})");
  EXPECT_NE(error_of([&] { run_hf(empty.path(), {}); }).find("describes a \"blip\", expected one of clip"),
            std::string::npos);
}

}  // namespace
}  // namespace fovea::models
