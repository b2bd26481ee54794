// The tape: one node per recorded operation, and one per leaf.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "fovea/tensor/tensor.h"

namespace fovea {

class Grads;

// The backward function of one operation: called with the gradient of its output and the slots of its inputs.
// Move-only, so that it may own what it captures.
class BackwardFn {
 public:
  BackwardFn() = default;
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, BackwardFn>) BackwardFn(F&& f)
      : impl_(std::make_unique<Holder<std::remove_cvref_t<F>>>(std::forward<F>(f))) {}

  explicit operator bool() const { return impl_ != nullptr; }
  void operator()(const Tensor& dy, Grads& grads) { impl_->call(dy, grads); }

 private:
  struct Base {
    virtual ~Base() = default;
    virtual void call(const Tensor& dy, Grads& grads) = 0;
  };
  template <class F>
  struct Holder final : Base {
    explicit Holder(F f) : function(std::move(f)) {}
    void call(const Tensor& dy, Grads& grads) override { function(dy, grads); }
    F function;
  };
  std::unique_ptr<Base> impl_;
};

// Makes the value of an operation again from what is kept for backward anyway, with the same bits. Move-only.
class Recipe {
 public:
  Recipe() = default;
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, Recipe>) Recipe(F&& f)  // NOLINT: a function is a recipe
      : impl_(std::make_unique<Holder<std::remove_cvref_t<F>>>(std::forward<F>(f))) {}

  explicit operator bool() const { return impl_ != nullptr; }
  Tensor operator()() const { return impl_->make(); }

 private:
  struct Base {
    virtual ~Base() = default;
    virtual Tensor make() const = 0;
  };
  template <class F>
  struct Holder final : Base {
    explicit Holder(F f) : function(std::move(f)) {}
    Tensor make() const override { return function(); }
    F function;
  };
  std::unique_ptr<Base> impl_;
};

struct FOVEA_API Node {
  Node(const char* name, Shape shape, DType dtype);
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  const char* name;  // of the operation; static storage
  Shape shape;       // of its output
  DType dtype;
  std::uint64_t sequence;                     // grows with every node, so that consumers always come after producers
  bool is_leaf = true;                        // gradients stay in a leaf until they are cleared
  std::vector<std::shared_ptr<Node>> inputs;  // null where no gradient is wanted
  std::vector<std::shared_ptr<Node>> inner;   // leaves that passes inside its backward function reach (checkpoints)
  BackwardFn backward;                        // empty in a leaf, and once backward has passed
  std::shared_ptr<const Recipe> recipe;       // of its output, where there is one; dropped when backward has passed
  int recipe_depth = 0;                       // recipes that run one inside the other to make the output
  std::weak_ptr<const Tensor> rounded;        // its output as bf16, while something keeps that

  Tensor grad;              // the gradient so far
  bool has_grad = false;    // whether `grad` was written since it was last cleared
  bool grad_fixed = false;  // `grad` is a place in a ParamStore's block and is always written there

  // Where the next contribution goes, and whether to add to what is there.
  std::pair<Tensor*, bool> grad_slot();
};

using NodeNames = std::vector<std::pair<const Node*, std::string>>;

}  // namespace fovea
