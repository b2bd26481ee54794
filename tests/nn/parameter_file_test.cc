#include "fovea/nn/parameter_file.h"

#include <gtest/gtest.h>

#include "../support/temp_folder.h"
#include "fovea/io/file.h"
#include "fovea/io/safetensors.h"
#include "fovea/nn/attention.h"
#include "fovea/nn/batch_norm.h"
#include "fovea/nn/conv.h"
#include "fovea/tensor/reduce.h"

namespace fovea::nn {
namespace {

struct Model {
  Conv2d conv;
  BatchNorm norm;
  Attention attention;
  Param scale;

  explicit Model(std::uint64_t seed, DType dtype = DType::f32) : Model(Init(seed, dtype)) {}
  explicit Model(Init init)
      : conv(init.normal({2, 3, 1, 4}, 1)),
        norm(2, init),
        attention(init.normal({6, 2}, 1), Linear(2, 2, init), 1, ops::AttentionKind::full, init),
        scale(init.normal({}, 1)) {
    norm.running_mean.value() = init.normal({2}, 1);
    attention.qkv_bias.value() = init.normal({6}, 1);
  }
  static void visit(auto& self, auto&& f) {
    f("conv", self.conv), f("norm", self.norm), f("attention", self.attention), f("scale", self.scale);
  }
};

// A path that disappears with the test.
struct TemporaryFile {
  const tests::TempFolder folder;
  const std::string path = folder / "model.safetensors";
};

double largest_difference(const Model& a, const Model& b) {
  const auto left = collect(a), right = collect(b);
  double worst = 0;
  for (std::size_t i = 0; i < left.size(); ++i)
    worst = std::max(worst, max_abs_difference(left[i].value(), right[i].value()));
  return worst;
}

std::string load_error(const std::string& path, const Model& model) {
  try {
    load_parameters(path, collect(model));
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

void expect_contains(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << "no \"" << part << "\" in: " << text;
}

TEST(ParameterFile, RoundTripIsExact) {
  const TemporaryFile file;
  const Model saved(1), loaded(2);
  EXPECT_GT(largest_difference(saved, loaded), 0.1);
  save_parameters(file.path, collect(saved));
  load_parameters(file.path, collect(loaded));
  EXPECT_EQ(largest_difference(saved, loaded), 0);
}

TEST(ParameterFile, HoldsPublishedNamesAndLayouts) {
  const TemporaryFile file;
  const Model model(1);
  save_parameters(file.path, collect(model));
  const io::TensorMap tensors = io::load_safetensors(file.path);
  EXPECT_EQ(tensors.size(), 5u + 8 + 1);
  const Tensor& filter = tensors.at("conv.weight");
  ASSERT_EQ(filter.shape(), (Shape{2, 4, 3, 1}));  // O, I, H, W
  for (std::int64_t o = 0; o < 2; ++o) {
    for (std::int64_t i = 0; i < 4; ++i) {
      for (std::int64_t h = 0; h < 3; ++h)
        EXPECT_EQ(filter.at((o * 4 + i) * 3 + h), model.conv.weight.value().at((o * 3 + h) * 4 + i));
    }
  }
  const Tensor& v = tensors.at("attention.v_proj.weight");
  ASSERT_EQ(v.shape(), (Shape{2, 2}));
  EXPECT_EQ(max_abs_difference(v, model.attention.qkv_weight.value().rows(4, 6)), 0);
  EXPECT_EQ(max_abs_difference(tensors.at("attention.k_proj.bias"), model.attention.qkv_bias.value().rows(2, 4)), 0);
  EXPECT_EQ(max_abs_difference(tensors.at("norm.running_mean"), model.norm.running_mean.value()), 0);
  EXPECT_EQ(tensors.at("scale").shape(), Shape{});
}

TEST(ParameterFile, ConvertsTheElementType) {
  const TemporaryFile file;
  const Model saved(1, DType::f64), loaded(2, DType::f32);
  save_parameters(file.path, collect(saved));
  load_parameters(file.path, collect(loaded));
  EXPECT_EQ(loaded.conv.weight.value().dtype(), DType::f32);
  EXPECT_LT(largest_difference(saved, loaded), 1e-6);
}

TEST(ParameterFile, NamesWhatDoesNotFitAndChangesNothing) {
  const TemporaryFile file;
  const Model saved(1);
  save_parameters(file.path, collect(saved));
  io::TensorMap tensors = io::load_safetensors(file.path);
  tensors.erase("scale");
  tensors["conv.weight"] = zeros({2, 3, 1, 4});  // not transposed
  tensors["head.weight"] = zeros({1});
  io::save_safetensors(file.path, tensors);
  const Model model(2), untouched(2);
  const std::string error = load_error(file.path, model);
  expect_contains(error, file.path + " does not fit the model, 3 differences:");
  expect_contains(error, "missing: scale");
  expect_contains(error, "conv.weight is (2, 3, 1, 4) in the file, (2, 4, 3, 1) in the model");
  expect_contains(error, "unexpected: head.weight");
  expect_contains(error, "\nhint: ");
  EXPECT_EQ(largest_difference(model, untouched), 0);
}

TEST(ParameterFile, ListsTheFirstFiveDifferences) {
  const TemporaryFile file;
  io::save_safetensors(file.path, {});
  const std::string error = load_error(file.path, Model(1));
  expect_contains(error, "14 differences");
  expect_contains(error, "missing: norm.running_var");
  EXPECT_EQ(error.find("missing: attention"), std::string::npos) << error;
}

TEST(ParameterFile, IgnoresBookkeepingOfPublishedFiles) {
  const TemporaryFile file;
  const Model saved(1), loaded(2);
  save_parameters(file.path, collect(saved));
  io::TensorMap tensors = io::load_safetensors(file.path);
  tensors["text_model.embeddings.position_ids"] = arange(3);
  tensors["norm.num_batches_tracked"] = arange(1);
  io::save_safetensors(file.path, tensors);
  load_parameters(file.path, collect(loaded));
  EXPECT_EQ(largest_difference(saved, loaded), 0);
}

TEST(ParameterFile, BadFilesAreErrors) {
  const TemporaryFile file;
  const Model model(1);
  expect_contains(load_error(file.path, model), file.path);  // there is none
  io::write_file(file.path, "not safetensors");
  expect_contains(load_error(file.path, model), file.path);
}

}  // namespace
}  // namespace fovea::nn
