// Any image encoder behind one type, for trainers; research code uses the encoders themselves.
#pragma once

#include <variant>

#include "fovea/models/efficientnet.h"
#include "fovea/models/modified_resnet.h"
#include "fovea/models/resnet.h"
#include "fovea/models/vit.h"

namespace fovea::models {

// Images (N, S, S, 3) -> features (N, features()). Adds no level to parameter names.
struct FOVEA_API ImageTower {
  using Config = std::variant<VisionTransformerConfig, ModifiedResNetConfig, ResNetConfig, EfficientNetConfig>;
  std::variant<VisionTransformer, ModifiedResNet, ResNet, EfficientNet> tower;

  ImageTower(const Config& config, nn::Init& init);

  std::int64_t features() const;
  bool projects() const;  // whether the features are already in the joint space
  Var operator()(const Var& images, const nn::Ctx& ctx) const;
  static void visit(auto& self, auto&& f) { f("", self.tower); }

  // Makes it one for pictures of another size, and returns what its configuration now is. Position tables are resampled
  // as open_clip does (bicubic, antialiased), and are new parameters: collect again. Throws Error for a size that the
  // tower cannot have.
  Config resize(std::int64_t size);

  static double flops(const Config& config);  // of one image, forward
  static std::int64_t image_size(const Config& config);
};

}  // namespace fovea::models
