// EfficientNet (Tan & Le 2019, "EfficientNet: rethinking model scaling for convolutional neural networks").
#pragma once

#include <optional>
#include <vector>

#include "fovea/nn/batch_norm.h"
#include "fovea/nn/conv.h"
#include "fovea/ops/pool.h"

namespace fovea::models {

// The base network's stages, one number each, and how they are scaled: B0 unless set.
struct FOVEA_API EfficientNetConfig {
  std::int64_t image_size = 224;
  double width = 1, depth = 1;  // factors on channels and on blocks
  std::int64_t divisor = 8;     // of scaled channels
  std::vector<std::int64_t> kernels{3, 3, 5, 3, 5, 5, 3}, strides{1, 2, 2, 2, 1, 2, 1}, repeats{1, 2, 2, 3, 3, 4, 1};
  std::vector<std::int64_t> in{32, 16, 24, 40, 80, 112, 192}, out{16, 24, 40, 80, 112, 192, 320};
  std::vector<std::int64_t> expand{1, 6, 6, 6, 6, 6, 6};
  std::vector<std::uint8_t> square_padding{};  // numbers, from 0, of strided blocks padded alike on all sides
  double squeeze = 0.25;                       // channels of squeeze-and-excitation, of a block's input
  double drop_connect = 0.2;                   // of whole samples in the last block; linear from 0 in the first
  Activation activation = Activation::silu;
  double eps = 1e-3;
  double momentum = 0.01, expand_momentum = 0.01;  // of batch norm, as in PyTorch; the latter behind expansions
  bool top = true;                                 // the 1x1 convolution to 1280 (scaled) channels; ALIGN has none
  bool projects = false;  // the features are in the joint space: ALIGN's B7, which has no projection

  // A multiple of the divisor, not below 90 % of `base` times the width.
  std::int64_t channels(std::int64_t base) const;
  std::int64_t features() const { return channels(top ? 1280 : out.back()); }
};

// What one block is made of.
struct MbConvConfig {
  std::int64_t in, hidden, out, kernel, stride, squeezed;
  bool square_padding, residual;
  double drop;
};

// Every block of a network. Throws Error when the lists do not fit each other.
FOVEA_API std::vector<MbConvConfig> mbconv_blocks(const EfficientNetConfig& config);

// 1x1 expansion, depthwise convolution, squeeze-and-excitation (Hu et al. 2018), 1x1 projection, and a shortcut that
// drop-connect may leave alone for a sample: (N, H, W, C) -> (N, H/s, W/s, O).
struct FOVEA_API MbConv {
  std::optional<nn::Conv2d> expand_conv;
  std::optional<nn::BatchNorm> expand_bn;
  nn::Conv2d depthwise_conv;
  nn::BatchNorm depthwise_norm;
  nn::Conv2d reduce, expand;
  nn::Conv2d project_conv;
  nn::BatchNorm project_bn;
  Activation activation;
  bool residual;
  double drop;
  std::uint64_t index;

  MbConv(const MbConvConfig& c, const EfficientNetConfig& whole, std::uint64_t number, nn::Init& init);

  Var operator()(const Var& x, const nn::Ctx& ctx) const {
    const Var hidden = expand_conv ? (*expand_bn)((*expand_conv)(x, ctx), ctx, activation) : x;
    const Var gated = excited(depthwise_conv(hidden, ctx), ctx);
    const Var projected = project_conv(gated, ctx);
    if (!residual) return project_bn(projected, ctx);
    if (!ctx.training || drop == 0) return project_bn(projected, ctx, Activation::none, x);
    return with_drop_connect(project_bn(projected, ctx), x, ctx);
  }
  static void visit(auto& self, auto&& f) {
    f("expansion.expand_conv", self.expand_conv), f("expansion.expand_bn", self.expand_bn);
    f("depthwise_conv.depthwise_conv", self.depthwise_conv), f("depthwise_conv.depthwise_norm", self.depthwise_norm);
    f("squeeze_excite.reduce", self.reduce), f("squeeze_excite.expand", self.expand);
    f("projection.project_conv", self.project_conv), f("projection.project_bn", self.project_bn);
  }

 private:
  // The depthwise convolution's norm, activation and squeeze-and-excitation.
  Var excited(const Var& x, const nn::Ctx& ctx) const;
  Var with_drop_connect(const Var& y, const Var& x, const nn::Ctx& ctx) const;
};

// Images (N, H, W, 3) of any size -> features (N, features()), the mean over the last grid. Parameter names are those
// of Hugging Face's EfficientNetModel. Drop-connect leaves out whole samples, as the paper and Keras do; transformers
// leaves out single elements.
struct FOVEA_API EfficientNet {
  using Config = EfficientNetConfig;

  Config config;
  nn::Conv2d convolution;
  nn::BatchNorm batchnorm;
  std::vector<MbConv> blocks;
  std::optional<nn::Conv2d> top_conv;
  std::optional<nn::BatchNorm> top_bn;

  EfficientNet(const Config& c, nn::Init& init);

  std::int64_t features() const { return config.features(); }
  bool projects() const { return config.projects; }

  // The last grid (N, h, w, features()).
  Var hidden(const Var& images, const nn::Ctx& ctx) const {
    FOVEA_CHECK(images.rank() == 4 && images.dim(3) == 3, "[efficientnet] images are ", images.shape(),
                ", expected (N, H, W, 3)");
    Var x = batchnorm(convolution(images, ctx), ctx, config.activation);
    for (const MbConv& block : blocks) x = block(x, ctx);
    return top_conv ? (*top_bn)((*top_conv)(x, ctx), ctx, config.activation) : x;
  }
  Var operator()(const Var& images, const nn::Ctx& ctx) const { return ops::global_avg_pool2d(hidden(images, ctx)); }

  static void visit(auto& self, auto&& f) {
    f("embeddings.convolution", self.convolution), f("embeddings.batchnorm", self.batchnorm);
    f("encoder.blocks", self.blocks);
    f("encoder.top_conv", self.top_conv), f("encoder.top_bn", self.top_bn);
  }

  static double flops(const Config& c);  // of one image: convolutions only
};

}  // namespace fovea::models
