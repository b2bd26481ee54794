// Activation checkpointing: time for memory.
#pragma once

#include <memory>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "fovea/autograd/var.h"

namespace fovea {

// A function that checkpoint() keeps until backward. Move-only.
class CheckpointFn {
 public:
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, CheckpointFn>) CheckpointFn(F&& f)
      : impl_(std::make_unique<Holder<std::remove_cvref_t<F>>>(std::forward<F>(f))) {}  // NOLINT

  Var operator()(std::span<const Var> inputs) const { return impl_->call(inputs); }

 private:
  struct Base {
    virtual ~Base() = default;
    virtual Var call(std::span<const Var> inputs) const = 0;
  };
  template <class F>
  struct Holder final : Base {
    explicit Holder(F f) : function(std::move(f)) {}
    Var call(std::span<const Var> inputs) const override { return function(inputs); }
    F function;
  };
  std::unique_ptr<Base> impl_;
};

// f(inputs), of which nothing but the inputs is kept: backward computes it again before it goes through it (Chen et al.
// 2016, section 3). Value and gradients have the same bits as those of f itself, if f computes the same both times: it
// must own what it captures (a module's copy shares the parameters), random numbers must come from keys, and parameters
// must not change before backward. Batch norms move their running statistics the first time only.
FOVEA_API Var checkpoint(CheckpointFn f, std::vector<Var> inputs);

// Whether a checkpointed function is being computed again on this thread: what it changes besides its result, it has
// changed already.
FOVEA_API bool recomputing();

}  // namespace fovea
