#include "fovea/models/image_tower.h"
#include "fovea/models/text_tower.h"

namespace fovea::models {
namespace {

// The encoder of a configuration, as one alternative of `Variant`.
template <class Variant>
struct Build {
  nn::Init& init;
  Variant operator()(const VisionTransformerConfig& c) const { return VisionTransformer(c, init); }
  Variant operator()(const ModifiedResNetConfig& c) const { return ModifiedResNet(c, init); }
  Variant operator()(const ResNetConfig& c) const { return ResNet(c, init); }
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
double flops_of(const TextTransformerConfig& c, std::int64_t length) { return TextTransformer::flops(c, length); }
double flops_of(const CbowConfig& c, std::int64_t length) { return Cbow::flops(c, length); }
double flops_of(const BertConfig& c, std::int64_t length) { return Bert::flops(c, length); }

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

}  // namespace fovea::models
