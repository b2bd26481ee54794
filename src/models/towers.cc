#include "fovea/autograd/no_grad.h"
#include "fovea/models/image_tower.h"
#include "fovea/models/text_tower.h"
#include "fovea/ops/resample.h"
#include "fovea/ops/shape.h"

namespace fovea::models {
namespace {

// The encoder of a configuration, as one alternative of `Variant`.
template <class Variant>
struct Build {
  nn::Init& init;
  Variant operator()(const VisionTransformerConfig& c) const { return VisionTransformer(c, init); }
  Variant operator()(const ModifiedResNetConfig& c) const { return ModifiedResNet(c, init); }
  Variant operator()(const ResNetConfig& c) const { return ResNet(c, init); }
  Variant operator()(const EfficientNetConfig& c) const { return EfficientNet(c, init); }
};
template <class Variant>
struct BuildText {
  nn::Init& init;
  Variant operator()(const TextTransformerConfig& c) const { return TextTransformer(c, init); }
  Variant operator()(const CbowConfig& c) const { return Cbow(c, init); }
  Variant operator()(const BertConfig& c) const { return Bert(c, init); }
};

double flops_of(const VisionTransformerConfig& c) { return VisionTransformer::flops(c); }
double flops_of(const ModifiedResNetConfig& c) { return ModifiedResNet::flops(c); }
double flops_of(const ResNetConfig& c) { return ResNet::flops(c); }
double flops_of(const EfficientNetConfig& c) { return EfficientNet::flops(c); }
double flops_of(const TextTransformerConfig& c, std::int64_t length) { return TextTransformer::flops(c, length); }
double flops_of(const CbowConfig& c, std::int64_t length) { return Cbow::flops(c, length); }
double flops_of(const BertConfig& c, std::int64_t length) { return Bert::flops(c, length); }

// A table (rows before the grid + old * old, D) of positions, for a grid of another side.
nn::Param resampled(const nn::Param& table, std::int64_t before, std::int64_t old_side, std::int64_t side) {
  const NoGrad nothing_is_recorded;
  const Tensor& rows = table.value();
  const std::int64_t width = rows.dim(1);
  const Tensor grid = rows.rows(before, rows.dim(0)).reshape({old_side, old_side, width});
  const Var cells = ops::reshape(ops::resample_bicubic(grid, side, side, true), {side * side, width});
  const Var all = before > 0 ? ops::concat({rows.rows(0, before), cells}, 0) : cells;
  nn::Param result(all.value().clone(), nn::FileLayout::native, false);
  result.leaf()->path = table.leaf()->path;
  return result;
}

void resize_positions(VisionTransformer& vit, std::int64_t size) {
  const std::int64_t patch = vit.config.patch_size;
  FOVEA_CHECK(size >= patch, "[vit] pictures of ", size, " pixels, expected at least a patch's ", patch);
  vit.position_embedding =
      resampled(vit.position_embedding, vit.class_embedding ? 1 : 0, vit.config.image_size / patch, size / patch);
}
void resize_positions(ModifiedResNet& resnet, std::int64_t size) {
  FOVEA_CHECK(size > 0 && size % 32 == 0, "[modified_resnet] image size ", size, " must be a multiple of 32");
  nn::Param& table = resnet.attnpool.positional_embedding;
  table = resampled(table, 1, resnet.config.grid(), size / 32);
}
// Convolutions and a mean take pictures of any size.
void resize_positions(ResNet&, std::int64_t) {}
void resize_positions(EfficientNet&, std::int64_t) {}

}  // namespace

ImageTower::ImageTower(const Config& config, nn::Init& init)
    : tower(std::visit(Build<decltype(tower)>{init}, config)) {}

std::int64_t ImageTower::features() const {
  return std::visit([](const auto& t) { return t.features(); }, tower);
}
bool ImageTower::projects() const {
  return std::visit([](const auto& t) { return t.projects(); }, tower);
}
Var ImageTower::operator()(const Var& images, const nn::Ctx& ctx) const {
  return std::visit([&](const auto& t) { return t(images, ctx); }, tower);
}
ImageTower::Config ImageTower::resize(std::int64_t size) {
  return std::visit(
      [&](auto& t) -> Config {
        resize_positions(t, size);
        t.config.image_size = size;
        return t.config;
      },
      tower);
}
double ImageTower::flops(const Config& config) {
  return std::visit([](const auto& c) { return flops_of(c); }, config);
}
std::int64_t ImageTower::image_size(const Config& config) {
  return std::visit([](const auto& c) { return c.image_size; }, config);
}

TextTower::TextTower(const Config& config, nn::Init& init)
    : tower(std::visit(BuildText<decltype(tower)>{init}, config)) {}

std::int64_t TextTower::features() const {
  return std::visit([](const auto& t) { return t.features(); }, tower);
}
bool TextTower::projects() const {
  return std::visit([](const auto& t) { return t.projects(); }, tower);
}
Var TextTower::operator()(const Tensor& tokens, const nn::Ctx& ctx) const {
  return std::visit([&](const auto& t) { return t(tokens, ctx); }, tower);
}
double TextTower::flops(const Config& config, std::int64_t length) {
  return std::visit([&](const auto& c) { return flops_of(c, length); }, config);
}
std::int64_t TextTower::vocabulary(const Config& config) {
  return std::visit([](const auto& c) { return c.vocabulary; }, config);
}
std::int64_t TextTower::context(const Config& config) {
  return std::visit([](const auto& c) { return c.context; }, config);
}

std::vector<std::int32_t> TextTower::padded(const Config& config, std::vector<std::int32_t> tokens) {
  const auto* transformer = std::get_if<TextTransformerConfig>(&config);
  if (transformer == nullptr || !transformer->pad_token) return tokens;
  const auto length = static_cast<std::size_t>(transformer->context);
  if (tokens.size() < length) tokens.resize(length, static_cast<std::int32_t>(*transformer->pad_token));
  return tokens;
}

}  // namespace fovea::models
