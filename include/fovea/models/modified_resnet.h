// CLIP's ResNet (Radford et al. 2021, section 2.4; openai/CLIP, clip/model.py): three-convolution stem, average pools
// in place of strides, attention pooling.
#pragma once

#include <array>
#include <cmath>
#include <optional>
#include <vector>

#include "fovea/nn/batch_norm.h"
#include "fovea/nn/conv.h"
#include "fovea/nn/linear.h"
#include "fovea/ops/attention.h"
#include "fovea/ops/elementwise.h"
#include "fovea/ops/pool.h"
#include "fovea/ops/shape.h"
#include "fovea/ops/tokens.h"

namespace fovea::models {

struct ModifiedResNetConfig {
  std::int64_t image_size = 224, width = 64;
  std::array<std::int64_t, 4> blocks{3, 4, 6, 3};
  std::int64_t embed = 1024;  // the attention pool projects into the joint space

  std::int64_t channels() const { return 32 * width; }
  std::int64_t grid() const { return image_size / 32; }
  std::int64_t heads() const { return width / 2; }  // heads of 64
};

// 1x1, 3x3, average pool by the stride, 1x1, plus a shortcut: (N, H, W, C) -> (N, H/s, W/s, 4 * planes).
struct Bottleneck {
  nn::Conv2d conv1, conv2, conv3;
  nn::BatchNorm bn1, bn2, bn3;
  struct Downsample {
    nn::Conv2d conv;
    nn::BatchNorm norm;
    static void visit(auto& self, auto&& f) { f("0", self.conv), f("1", self.norm); }
  };
  std::optional<Downsample> downsample;
  int stride;

  Bottleneck(std::int64_t in, std::int64_t planes, int stride_, nn::Init& init)
      : conv1(init.linear_default({planes, 1, 1, in})),
        conv2(init.linear_default({planes, 3, 3, planes}), {.padding = 1}),
        conv3(init.linear_default({4 * planes, 1, 1, planes})),
        bn1(planes, init),
        bn2(planes, init),
        bn3(4 * planes, init, 0),  // a block starts as its shortcut
        stride(stride_) {
    if (stride > 1 || in != 4 * planes) {
      downsample.emplace(
          Downsample{nn::Conv2d(init.linear_default({4 * planes, 1, 1, in})), nn::BatchNorm(4 * planes, init)});
    }
  }

  Var operator()(const Var& x, const nn::Ctx& ctx) const {
    Var y = bn1.relu(conv1(x, ctx), ctx);
    y = pooled(bn2.relu(conv2(y, ctx), ctx));
    const Var shortcut = downsample ? downsample->norm(downsample->conv(pooled(x), ctx), ctx) : x;
    return bn3.relu(conv3(y, ctx), ctx, shortcut);
  }
  static void visit(auto& self, auto&& f) {
    f("conv1", self.conv1), f("bn1", self.bn1);
    f("conv2", self.conv2), f("bn2", self.bn2);
    f("conv3", self.conv3), f("bn3", self.bn3);
    f("downsample", self.downsample);
  }

 private:
  Var pooled(const Var& x) const { return stride > 1 ? ops::avg_pool2d(x, stride, stride) : x; }
};

// One query, the mean token, attends over all tokens: (N, g, g, C) -> (N, E).
struct AttentionPool {
  nn::Param positional_embedding;  // (g * g + 1, C)
  nn::Linear q_proj, k_proj, v_proj, c_proj;
  std::int64_t heads;

  AttentionPool(std::int64_t grid, std::int64_t channels, std::int64_t head_count, std::int64_t out, nn::Init& init)
      : positional_embedding(init.normal({grid * grid + 1, channels}, scale(channels)), nn::FileLayout::native, false),
        q_proj(make(channels, channels, init)),
        k_proj(make(channels, channels, init)),
        v_proj(make(channels, channels, init)),
        c_proj(make(channels, out, init)),
        heads(head_count) {}

  Var operator()(const Var& x, const nn::Ctx& ctx) const {
    const std::int64_t n = x.dim(0), cells = x.dim(1) * x.dim(2), c = x.dim(3), l = cells + 1;
    const Var mean = ops::reshape(ops::global_avg_pool2d(x), {n, 1, c});
    const Var tokens = ops::add(ops::concat({mean, ops::reshape(x, {n, cells, c})}, 1), positional_embedding());
    const Var flat = ops::reshape(tokens, {n * l, c});
    ops::AttentionOptions options;
    options.layout = PackedLayout::uniform(n, 1);
    options.kv_layout = PackedLayout::uniform(n, l);
    options.heads = heads;
    const Var query = ops::gather_rows(flat, options.kv_layout.offsets.rows(0, n));
    return c_proj(ops::attention(q_proj(query, ctx), k_proj(flat, ctx), v_proj(flat, ctx), options), ctx);
  }
  static void visit(auto& self, auto&& f) {
    f("positional_embedding", self.positional_embedding);
    f("k_proj", self.k_proj), f("q_proj", self.q_proj), f("v_proj", self.v_proj), f("c_proj", self.c_proj);
  }

 private:
  static double scale(std::int64_t channels) { return 1 / std::sqrt(static_cast<double>(channels)); }
  static nn::Linear make(std::int64_t in, std::int64_t out, nn::Init& init) {
    nn::Linear linear(in, out, init);
    linear.weight.value() = init.normal({out, in}, scale(in));
    return linear;
  }
};

// Images (N, S, S, 3) -> embeddings (N, E).
struct ModifiedResNet {
  using Config = ModifiedResNetConfig;
  static constexpr bool projects() { return true; }  // the attention pool ends in the joint space

  Config config;
  nn::Conv2d conv1, conv2, conv3;
  nn::BatchNorm bn1, bn2, bn3;
  std::array<std::vector<Bottleneck>, 4> stages;
  AttentionPool attnpool;

  ModifiedResNet(const Config& c, nn::Init& init)
      : config(c),
        conv1(init.linear_default({c.width / 2, 3, 3, 3}), {.stride = 2, .padding = 1}),
        conv2(init.linear_default({c.width / 2, 3, 3, c.width / 2}), {.padding = 1}),
        conv3(init.linear_default({c.width, 3, 3, c.width / 2}), {.padding = 1}),
        bn1(c.width / 2, init),
        bn2(c.width / 2, init),
        bn3(c.width, init),
        stages(make_stages(c, init)),
        attnpool(c.grid(), c.channels(), c.heads(), c.embed, init) {}

  std::int64_t features() const { return config.embed; }

  Var operator()(const Var& images, const nn::Ctx& ctx) const {
    FOVEA_CHECK(images.rank() == 4 && images.dim(1) == config.image_size && images.dim(2) == config.image_size,
                "[modified_resnet] images are ", images.shape(), ", expected (N, ", config.image_size, ", ",
                config.image_size, ", 3)");
    Var x = bn1.relu(conv1(images, ctx), ctx);
    x = bn2.relu(conv2(x, ctx), ctx);
    x = ops::avg_pool2d(bn3.relu(conv3(x, ctx), ctx), 2, 2);
    for (const auto& stage : stages) {
      for (const Bottleneck& block : stage) x = block(x, ctx);
    }
    return attnpool(x, ctx);
  }

  static void visit(auto& self, auto&& f) {
    f("conv1", self.conv1), f("bn1", self.bn1);
    f("conv2", self.conv2), f("bn2", self.bn2);
    f("conv3", self.conv3), f("bn3", self.bn3);
    f("layer1", self.stages[0]), f("layer2", self.stages[1]);
    f("layer3", self.stages[2]), f("layer4", self.stages[3]);
    f("attnpool", self.attnpool);
  }

  // Of one image: convolutions and matrix products only.
  static double flops(const Config& c) {
    const auto w = static_cast<double>(c.width);
    double side = static_cast<double>(c.image_size) / 2;
    double macs = side * side * 9 * (3 * w / 2 + w / 2 * w / 2 + w / 2 * w);
    side /= 2;
    double in = w;
    for (std::size_t s = 0; s < 4; ++s) {
      const double planes = w * std::exp2(static_cast<double>(s));
      for (std::int64_t b = 0; b < c.blocks[s]; ++b) {
        const bool strided = s > 0 && b == 0;
        macs += side * side * (in * planes + 9 * planes * planes);
        if (strided) side /= 2;
        macs += side * side * 4 * planes * (planes + (b == 0 ? in : 0));
        in = 4 * planes;
      }
    }
    const auto l = static_cast<double>(c.grid() * c.grid() + 1), ch = static_cast<double>(c.channels());
    macs += ch * ch * (2 * l + 1) + 2 * l * ch + ch * static_cast<double>(c.embed);
    return 2 * macs;
  }

 private:
  static std::array<std::vector<Bottleneck>, 4> make_stages(const Config& c, nn::Init& init) {
    FOVEA_CHECK(c.image_size % 32 == 0 && c.width % 2 == 0, "[modified_resnet] image size ", c.image_size,
                " must be a multiple of 32 and width ", c.width, " even");
    std::array<std::vector<Bottleneck>, 4> stages;
    std::int64_t in = c.width;
    for (std::size_t s = 0; s < 4; ++s) {
      const std::int64_t planes = c.width << s;
      stages[s].reserve(static_cast<std::size_t>(c.blocks[s]));
      for (std::int64_t b = 0; b < c.blocks[s]; ++b) {
        stages[s].emplace_back(in, planes, s > 0 && b == 0 ? 2 : 1, init);
        in = 4 * planes;
      }
    }
    return stages;
  }
};

}  // namespace fovea::models
