// CLIP against open_clip: files made by tests/golden/make_clip_golden.py, which computes in f64.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "fovea/autograd/backward.h"
#include "fovea/models/presets.h"
#include "fovea/nn/parameter_file.h"
#include "fovea/objectives/info_nce.h"
#include "fovea/optim/adamw.h"
#include "fovea/testing/golden.h"

namespace fovea {
namespace {

using testing::Golden;

// FOVEA_GOLDEN_DIR: a folder of files made with other sizes or seeds.
std::string golden_path(const std::string& name) {
  const char* folder = std::getenv("FOVEA_GOLDEN_DIR");
  return (folder ? std::string(folder) : std::string(FOVEA_SOURCE_DIR) + "/tests/golden") + "/" + name + ".safetensors";
}

// The design's parity measure: f32 within 1e-4, f64 within 1e-9.
double tolerance(DType dtype) { return dtype == DType::f32 ? 1e-4 : 1e-9; }

struct Loaded {
  models::ClipModel model;
  std::vector<nn::ParamEntry> entries;

  Loaded(const Golden& golden, DType dtype) : model(make(golden, dtype)), entries(nn::collect(model)) {
    const io::TensorMap values = golden.with_prefix("param.");
    EXPECT_EQ(values.size(), entries.size());
    for (nn::ParamEntry& entry : entries) {
      Tensor destination = entry.value();
      destination.copy_from(nn::from_file_layout(entry, values.at(entry.path)));
    }
  }
  static models::ClipModel make(const Golden& golden, DType dtype) {
    nn::Init init = nn::Init::none(dtype);
    return models::ClipModel(models::parse_clip_config(golden.metadata("config")), init);
  }
};

data::Batch batch(const Golden& golden, const std::string& prefix, DType dtype) {
  data::Batch b;
  b.images = golden[prefix + "images"].to(dtype);
  b.tokens = golden[prefix + "tokens"];
  const Tensor& offsets = golden[prefix + "offsets"];
  std::vector<std::int64_t> lengths;
  for (std::int64_t i = 0; i + 1 < offsets.numel(); ++i) {
    lengths.push_back(static_cast<std::int64_t>(offsets.at(i + 1) - offsets.at(i)));
  }
  b.text = PackedLayout::from_lengths(lengths);
  return b;
}

void expect_parity(const std::string& name, DType dtype, bool training, const std::string& where) {
  const Golden golden(golden_path(name));
  Loaded loaded(golden, dtype);
  nn::Ctx ctx;
  ctx.training = training;
  const objectives::Embeddings e = loaded.model.embed(batch(golden, "input.", dtype), ctx);
  const objectives::Loss loss = objectives::InfoNce{}(e, ctx);
  const double tol = tolerance(dtype);
  EXPECT_LE(testing::relative_error(e.image.value(), golden["out.image_embeds"], 1e-6), tol) << where;
  EXPECT_LE(testing::relative_error(e.text.value(), golden["out.text_embeds"], 1e-6), tol) << where;
  EXPECT_LE(testing::relative_error(loss.total.value(), golden["out.loss"], 1e-6), tol) << where;

  const io::TensorMap reference = golden.with_prefix("grad.");
  if (!reference.empty()) {
    backward(loss.total);
    io::TensorMap gradients;
    for (const nn::ParamEntry& entry : loaded.entries) {
      if (!entry.leaf->is_buffer()) gradients[entry.path] = nn::to_file_layout(entry, entry.grad());
    }
    const auto result = testing::compare_gradients(gradients, reference, tol);
    EXPECT_TRUE(result) << where << " " << result.message;
  }
  const io::TensorMap statistics = golden.with_prefix("buffer.");
  if (!statistics.empty()) {
    io::TensorMap buffers;
    for (const nn::ParamEntry& entry : loaded.entries) {
      if (entry.leaf->is_buffer()) buffers[entry.path] = entry.value();
    }
    const auto result = testing::compare_tensors(buffers, statistics, tol);
    EXPECT_TRUE(result) << where << " " << result.message;
  }
}

void expect_parity_everywhere(const std::string& name, bool training = false) {
  expect_parity(name, DType::f64, training, name + " f64");
  testing::for_each_isa(
      [&](const std::string& isa) { expect_parity(name, DType::f32, training, name + " f32 " + isa); });
}

TEST(ClipGolden, VisionTransformerWithQuickGelu) { expect_parity_everywhere("clip_vit_quick_gelu"); }
TEST(ClipGolden, VisionTransformerWithExactGelu) { expect_parity_everywhere("clip_vit_gelu"); }
TEST(ClipGolden, ModifiedResNet) { expect_parity_everywhere("clip_modified_resnet"); }
TEST(ClipGolden, ModifiedResNetWithSeveralHeads) { expect_parity_everywhere("clip_modified_resnet_heads"); }
TEST(ClipGolden, ModifiedResNetInTraining) { expect_parity_everywhere("clip_modified_resnet_training", true); }

// 20 steps of AdamW with clipping and the clamp of the logit scale: every loss within 1e-4 of PyTorch's.
TEST(ClipGolden, TwentyStepsOfAdamW) {
  const Golden golden(golden_path("clip_vit_adamw"));
  const Tensor& losses = golden["out.losses"];
  ASSERT_EQ(losses.numel(), 20);
  for (DType dtype : {DType::f64, DType::f32}) {
    Loaded loaded(golden, dtype);
    optim::ParamStore store(loaded.entries);
    optim::AdamW adamw{.beta1 = 0.9, .beta2 = 0.98, .eps = 1e-6, .weight_decay = 0.2};
    nn::Ctx ctx;
    ctx.training = true;
    for (std::int64_t step = 0; step < losses.numel(); ++step) {
      store.clear_gradients();
      const data::Batch b = batch(golden, concat("input.", step % 4, "."), dtype);
      const Var loss = objectives::InfoNce{}(loaded.model.embed(b, ctx), ctx).total;
      EXPECT_LE(std::abs(loss.item() - losses.at(step)) / losses.at(step), tolerance(dtype)) << "step " << step;
      backward(loss);
      adamw.step(store, 1e-3, optim::clip_factor(optim::gradient_norm(store), 1.0));
      loaded.model.clamp_logit_scale();
    }
    const io::TensorMap final_values = golden.with_prefix("final.");
    for (const nn::ParamEntry& entry : loaded.entries) {
      const double error =
          testing::relative_error(nn::to_file_layout(entry, entry.value()), final_values.at(entry.path), 1e-3);
      EXPECT_LE(error, dtype == DType::f32 ? 1e-3 : 1e-7) << entry.path;
    }
  }
}

}  // namespace
}  // namespace fovea
