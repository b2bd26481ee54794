// A feature objective chosen at run time.
#pragma once

#include <limits>
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

  // What the loss of an untrained model should be near, for batches of so many pairs and the logit_scale, logit_bias
  // and temperature of `e`; NaN where the objective has no such function.
  double expected_first_loss(std::int64_t pairs, const Embeddings& e) const { return impl_->expected(pairs, e); }

 private:
  struct Base {
    virtual ~Base() = default;
    virtual Loss call(const Embeddings& e, const nn::Ctx& ctx) const = 0;
    virtual double expected(std::int64_t pairs, const Embeddings& e) const = 0;
  };
  template <class O>
  struct Holder final : Base {
    explicit Holder(O o) : objective(std::move(o)) {}
    Loss call(const Embeddings& e, const nn::Ctx& ctx) const override { return objective(e, ctx); }
    double expected(std::int64_t pairs, const Embeddings& e) const override {
      if constexpr (requires { objective.expected_first_loss(pairs, e); }) {
        return objective.expected_first_loss(pairs, e);
      } else {
        return std::numeric_limits<double>::quiet_NaN();
      }
    }
    O objective;
  };
  std::unique_ptr<Base> impl_;
};

}  // namespace fovea::objectives
