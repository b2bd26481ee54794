#include "fovea/models/efficientnet.h"

#include <algorithm>
#include <cmath>

#include "fovea/ops/activation.h"
#include "fovea/ops/dropout.h"
#include "fovea/ops/elementwise.h"
#include "fovea/ops/shape.h"

namespace fovea::models {
namespace {

constexpr std::int64_t stem_channels = 32, stem_kernel = 3;

// Keras' variance scaling: N(0, 2 / fan_out) of (O, KH, KW, I) filters, where those of a depthwise convolution (I = 1
// of many groups) count as one filter each.
nn::Conv2d make_conv(std::int64_t in, std::int64_t out, std::int64_t kernel, ops::Conv2dOptions options, nn::Init& init,
                     bool bias = false) {
  const std::int64_t filters = options.groups == 1 ? out : 1;
  const double fan_out = static_cast<double>(filters * kernel * kernel);
  return nn::Conv2d(init.normal({out, kernel, kernel, in / options.groups}, std::sqrt(2 / fan_out)), options,
                    bias ? init.constant({out}, 0) : Tensor());
}

// With stride 2, TensorFlow's "same" for even sizes: one zero less above and to the left.
ops::Conv2dOptions same_padding(std::int64_t kernel, std::int64_t stride, bool square, std::int64_t groups = 1) {
  const bool more_at_end = stride != 1 && !square;
  return {stride, kernel / 2 - (more_at_end ? 1 : 0), groups, more_at_end ? 1 : 0};
}

nn::BatchNorm make_norm(std::int64_t channels, const EfficientNetConfig& c, nn::Init& init) {
  return {channels, init, 1, c.eps, c.momentum};
}

void check_lists(const EfficientNetConfig& c) {
  const std::size_t stages = c.kernels.size();
  for (const auto* list : {&c.strides, &c.repeats, &c.in, &c.out, &c.expand}) {
    FOVEA_CHECK(stages > 0 && list->size() == stages, "[efficientnet] kernels, strides, repeats, in, out and expand ",
                "have ", stages, " and ", list->size(), " entries, expected as many of each");
  }
  for (const std::int64_t kernel : c.kernels) {
    FOVEA_CHECK(kernel % 2 == 1, "[efficientnet] a kernel of ", kernel, ", expected odd numbers");
  }
}

}  // namespace

std::int64_t EfficientNetConfig::channels(std::int64_t base) const {
  const double target = static_cast<double>(base) * width;
  const auto step = static_cast<double>(divisor);
  const auto rounded = static_cast<std::int64_t>(std::floor(std::floor(target + step / 2) / step)) * divisor;
  const std::int64_t wide = std::max(divisor, rounded);
  return static_cast<double>(wide) < 0.9 * target ? wide + divisor : wide;
}

std::vector<MbConvConfig> mbconv_blocks(const EfficientNetConfig& c) {
  check_lists(c);
  std::vector<MbConvConfig> blocks;
  for (std::size_t stage = 0; stage < c.kernels.size(); ++stage) {
    std::int64_t in = c.channels(c.in[stage]), stride = c.strides[stage];
    const std::int64_t out = c.channels(c.out[stage]);
    FOVEA_CHECK(blocks.empty() ? in == c.channels(stem_channels) : in == blocks.back().out, "[efficientnet] stage ",
                stage, " takes ", in, " channels, ", blocks.empty() ? "the stem" : "the stage before", " gives ",
                blocks.empty() ? c.channels(stem_channels) : blocks.back().out);
    const auto repeats = static_cast<std::int64_t>(std::ceil(c.depth * static_cast<double>(c.repeats[stage])));
    for (std::int64_t j = 0; j < repeats; ++j) {
      const auto number = static_cast<std::int64_t>(blocks.size());
      const bool square = std::find(c.square_padding.begin(), c.square_padding.end(), number) != c.square_padding.end();
      const auto squeezed = static_cast<std::int64_t>(static_cast<double>(in) * c.squeeze);
      blocks.push_back({in, in * c.expand[stage], out, c.kernels[stage], stride, std::max<std::int64_t>(1, squeezed),
                        square, stride == 1 && j > 0, 0});
      in = out;
      stride = 1;
    }
  }
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    blocks[b].drop = c.drop_connect * static_cast<double>(b) / static_cast<double>(blocks.size());
  }
  return blocks;
}

MbConv::MbConv(const MbConvConfig& c, const EfficientNetConfig& whole, std::uint64_t number, nn::Init& init)
    : depthwise_conv(
          make_conv(c.hidden, c.hidden, c.kernel, same_padding(c.kernel, c.stride, c.square_padding, c.hidden), init)),
      depthwise_norm(make_norm(c.hidden, whole, init)),
      reduce(make_conv(c.hidden, c.squeezed, 1, {}, init, true)),
      expand(make_conv(c.squeezed, c.hidden, 1, {}, init, true)),
      project_conv(make_conv(c.hidden, c.out, 1, {}, init)),
      project_bn(make_norm(c.out, whole, init)),
      activation(whole.activation),
      residual(c.residual),
      drop(c.drop),
      index(number) {
  if (c.hidden == c.in) return;
  expand_conv.emplace(make_conv(c.in, c.hidden, 1, {}, init));
  expand_bn.emplace(c.hidden, init, 1, whole.eps, whole.expand_momentum);
}

Var MbConv::excited(const Var& x, const nn::Ctx& ctx) const {
  const std::int64_t n = x.dim(0), channels = x.dim(3);
  const auto gate = [&](const Var& mean) {
    const Var squeezed = ops::activate(reduce(ops::reshape(mean, {n, 1, 1, channels}), ctx), activation);
    return ops::reshape(ops::sigmoid(expand(squeezed, ctx)), {n, channels});
  };
  if (activation != Activation::relu) return depthwise_norm.excite(x, ctx, activation, gate);
  const Var y = depthwise_norm.relu(x, ctx);
  return ops::mul(y, ops::reshape(gate(ops::global_avg_pool2d(y)), {n, 1, 1, channels}));
}

Var MbConv::with_drop_connect(const Var& y, const Var& x, const nn::Ctx& ctx) const {
  if (project_conv.weight.leaf()->frozen) return ops::add(y, x);
  const RngKey key = ctx.rng.derive("drop_connect").derive(index);
  const Tensor ids = ctx.sample_ids.defined() ? ctx.sample_ids : arange(x.dim(0));
  return ops::add(ops::drop_path(y, drop, key, ids), x);
}

EfficientNet::EfficientNet(const Config& c, nn::Init& init)
    : config(c),
      convolution(make_conv(3, c.channels(stem_channels), stem_kernel, same_padding(stem_kernel, 2, false), init)),
      batchnorm(make_norm(c.channels(stem_channels), c, init)) {
  for (const MbConvConfig& block : mbconv_blocks(c)) blocks.emplace_back(block, c, blocks.size(), init);
  if (!c.top) return;
  top_conv.emplace(make_conv(c.channels(c.out.back()), c.features(), 1, {}, init));
  top_bn.emplace(make_norm(c.features(), c, init));
}

double EfficientNet::flops(const Config& c) {
  const auto strided = [](std::int64_t side, std::int64_t stride) { return (side + stride - 1) / stride; };
  std::int64_t side = strided(c.image_size, 2);
  double macs = static_cast<double>(side * side * stem_kernel * stem_kernel * 3 * c.channels(stem_channels));
  for (const MbConvConfig& block : mbconv_blocks(c)) {
    if (block.hidden != block.in) macs += static_cast<double>(side * side * block.in * block.hidden);
    side = strided(side, block.stride);
    const std::int64_t per_pixel = block.hidden * (block.kernel * block.kernel + block.out);
    macs += static_cast<double>(side * side * per_pixel + 2 * block.hidden * block.squeezed);
  }
  if (c.top) macs += static_cast<double>(side * side * c.channels(c.out.back()) * c.features());
  return 2 * macs;
}

}  // namespace fovea::models
