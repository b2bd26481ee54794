// Any text encoder behind one type, for trainers.
#pragma once

#include <variant>
#include <vector>

#include "fovea/models/bert.h"
#include "fovea/models/cbow.h"
#include "fovea/models/text_transformer.h"

namespace fovea::models {

// Packed token ids (T), laid out as ctx.layout -> features (B, features()). Adds no level to parameter names.
struct FOVEA_API TextTower {
  using Config = std::variant<TextTransformerConfig, CbowConfig, BertConfig>;
  std::variant<TextTransformer, Cbow, Bert> tower;

  TextTower(const Config& config, nn::Init& init);

  std::int64_t features() const;
  bool projects() const;  // whether the features are already in the joint space
  Var operator()(const Tensor& tokens, const nn::Ctx& ctx) const;
  static void visit(auto& self, auto&& f) { f("", self.tower); }

  static double flops(const Config& config, std::int64_t length);  // of one caption of `length` tokens, forward
  static std::int64_t vocabulary(const Config& config);
  static std::int64_t context(const Config& config);

  // Fills a caption's tokens up as the configuration wants them.
  static std::vector<std::int32_t> padded(const Config& config, std::vector<std::int32_t> tokens);
};

}  // namespace fovea::models
