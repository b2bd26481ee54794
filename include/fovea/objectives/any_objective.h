// A feature objective chosen at run time.
#pragma once

#include <memory>
#include <utility>

#include "fovea/objectives/embeddings.h"

namespace fovea::objectives {

// Holds any feature objective; what trainers use, so that they are compiled once.
class AnyFeatureObjective {
 public:
  template <FeatureObjective O>
  requires(!std::same_as<O, AnyFeatureObjective>) AnyFeatureObjective(O objective)
      : impl_(std::make_unique<Holder<O>>(std::move(objective))) {}  // NOLINT

  Loss operator()(const Embeddings& e, const nn::Ctx& ctx) const { return impl_->call(e, ctx); }

 private:
  struct Base {
    virtual ~Base() = default;
    virtual Loss call(const Embeddings& e, const nn::Ctx& ctx) const = 0;
  };
  template <class O>
  struct Holder final : Base {
    explicit Holder(O o) : objective(std::move(o)) {}
    Loss call(const Embeddings& e, const nn::Ctx& ctx) const override { return objective(e, ctx); }
    O objective;
  };
  std::unique_ptr<Base> impl_;
};

}  // namespace fovea::objectives
