// ResNet of basic blocks (He et al. 2016).
#pragma once

#include <optional>
#include <vector>

#include "fovea/nn/batch_norm.h"
#include "fovea/nn/conv.h"
#include "fovea/ops/pool.h"

namespace fovea::models {

struct ResNetConfig {
  std::int64_t image_size = 224;
  int stem_kernel = 7;                                    // stride 2, then a 3x3 max pool of stride 2
  std::vector<std::int64_t> channels{64, 128, 256, 512};  // of each stage; the stem has the first stage's
  std::vector<std::int64_t> blocks{2, 2, 2, 2};           // every stage but the first starts with stride 2
};

// Convolution without bias, then batch norm.
struct ConvNorm {
  nn::Conv2d convolution;
  nn::BatchNorm normalization;

  ConvNorm(std::int64_t in, std::int64_t out, int kernel, int stride, nn::Init& init)
      : convolution(init.he_fan_out({out, kernel, kernel, in}), {.stride = stride, .padding = kernel / 2}),
        normalization(out, init) {}

  Var operator()(const Var& x, const nn::Ctx& ctx) const { return normalization(convolution(x, ctx), ctx); }
  Var relu(const Var& x, const nn::Ctx& ctx, const Var& residual = {}) const {
    return normalization.relu(convolution(x, ctx), ctx, residual);
  }
  static void visit(auto& self, auto&& f) {
    f("convolution", self.convolution), f("normalization", self.normalization);
  }
};

// relu(x' + bn(conv(relu(bn(conv(x)))))): (N, H, W, C) -> (N, H/s, W/s, O); x' is x or its 1x1 projection.
struct BasicBlock {
  std::optional<ConvNorm> shortcut;
  ConvNorm first, second;

  BasicBlock(std::int64_t in, std::int64_t out, int stride, nn::Init& init)
      : first(in, out, 3, stride, init), second(out, out, 3, 1, init) {
    if (stride != 1 || in != out) shortcut.emplace(in, out, 1, stride, init);
  }

  Var operator()(const Var& x, const nn::Ctx& ctx) const {
    return second.relu(first.relu(x, ctx), ctx, shortcut ? (*shortcut)(x, ctx) : x);
  }
  static void visit(auto& self, auto&& f) {
    f("shortcut", self.shortcut), f("layer.0", self.first), f("layer.1", self.second);
  }
};

struct ResNetStage {
  std::vector<BasicBlock> layers;
  static void visit(auto& self, auto&& f) { f("layers", self.layers); }
};

// Images (N, S, S, 3) -> features (N, C of the last stage), the mean over the last grid.
struct ResNet {
  using Config = ResNetConfig;
  static constexpr bool projects() { return false; }

  Config config;
  ConvNorm stem;
  std::vector<ResNetStage> stages;

  ResNet(const Config& c, nn::Init& init) : config(c), stem(3, first_channels(c), c.stem_kernel, 2, init) {
    std::int64_t in = c.channels[0];
    for (std::size_t s = 0; s < c.channels.size(); ++s) {
      ResNetStage stage;
      for (std::int64_t b = 0; b < c.blocks[s]; ++b) {
        stage.layers.emplace_back(in, c.channels[s], s > 0 && b == 0 ? 2 : 1, init);
        in = c.channels[s];
      }
      stages.push_back(std::move(stage));
    }
  }

  std::int64_t features() const { return config.channels.back(); }

  Var operator()(const Var& images, const nn::Ctx& ctx) const {
    FOVEA_CHECK(images.rank() == 4 && images.dim(3) == 3, "[resnet] images are ", images.shape(),
                ", expected (N, H, W, 3)");
    Var x = ops::max_pool2d(stem.relu(images, ctx), 3, 2, 1);
    for (const ResNetStage& stage : stages) {
      for (const BasicBlock& block : stage.layers) x = block(x, ctx);
    }
    return ops::global_avg_pool2d(x);
  }

  static void visit(auto& self, auto&& f) {
    f("embedder.embedder", self.stem);
    f("encoder.stages", self.stages);
  }

  // Of one image: convolutions only.
  static double flops(const Config& c) {
    const auto half = [](std::int64_t side) { return (side + 1) / 2; };
    std::int64_t side = half(c.image_size);
    double macs = static_cast<double>(side * side * c.stem_kernel * c.stem_kernel * 3 * c.channels[0]);
    side = half(side);
    std::int64_t in = c.channels[0];
    for (std::size_t s = 0; s < c.channels.size(); ++s) {
      const std::int64_t out = c.channels[s];
      for (std::int64_t b = 0; b < c.blocks[s]; ++b) {
        const bool strided = s > 0 && b == 0;
        if (strided) side = half(side);
        macs += static_cast<double>(side * side * 9 * (in * out + out * out));
        if (strided || in != out) macs += static_cast<double>(side * side * in * out);
        in = out;
      }
    }
    return 2 * macs;
  }

 private:
  static std::int64_t first_channels(const Config& c) {
    FOVEA_CHECK(!c.channels.empty() && c.channels.size() == c.blocks.size(), "[resnet] ", c.channels.size(),
                " channel counts and ", c.blocks.size(), " block counts, expected as many of each");
    return c.channels[0];
  }
};

}  // namespace fovea::models
