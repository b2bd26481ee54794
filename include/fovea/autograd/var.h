// Differentiable values.
#pragma once

#include <initializer_list>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "fovea/autograd/node.h"

namespace fovea {

// A tensor and its place on the tape, if it has one. A handle: copying is cheap.
class FOVEA_API Var {
 public:
  Var() = default;
  Var(Tensor value, bool requires_grad = false);  // NOLINT: a tensor is a constant
  Var(Tensor value, std::shared_ptr<Node> node) : value_(std::move(value)), node_(std::move(node)) {}

  bool defined() const { return value_.defined(); }
  const Tensor& value() const { return value_; }
  const Shape& shape() const { return value_.shape(); }
  std::int64_t dim(int axis) const { return value_.dim(axis); }
  int rank() const { return value_.rank(); }
  DType dtype() const { return value_.dtype(); }
  double item() const { return value_.item(); }

  bool requires_grad() const { return node_ != nullptr; }
  bool has_recipe() const { return node_ && node_->recipe; }  // saving it takes no memory
  Var detach() const { return Var(value_); }                  // same elements, off the tape

  // Gradient accumulated by backward() in a leaf; undefined when nothing has arrived.
  Tensor grad() const { return node_ && node_->has_grad ? node_->grad : Tensor(); }
  void clear_grad() {
    if (node_) node_->has_grad = false;
  }

  const std::shared_ptr<Node>& node() const { return node_; }

 private:
  Tensor value_;
  std::shared_ptr<Node> node_;
};

// A slot for one input's gradient: a destination and whether to add to it. Kernels write straight into it.
struct GradSlot {
  Tensor& tensor;
  bool accumulate;

  template <class T>
  T* data() const {
    return tensor.mutable_data<T>();
  }
};

// What a backward function writes to.
class FOVEA_API Grads {
 public:
  // `dy` is what the backward function is called with.
  Grads(Node& node, const Tensor& dy) : node_(node), dy_(dy) {}

  // Whether input i takes part in the backward pass.
  bool wants(int i) const { return node_.inputs[static_cast<std::size_t>(i)] != nullptr; }
  // Destination for the gradient of input i, of that input's shape. Every element must be written. When two inputs
  // are the same value, the second slot adds to the first: finish writing slot i before asking for another one, or
  // check same_input().
  GradSlot into(int i);
  // Hands over a finished gradient of input i.
  void add(int i, Tensor gradient);
  bool same_input(int i, int j) const {
    return wants(i) && node_.inputs[static_cast<std::size_t>(i)] == node_.inputs[static_cast<std::size_t>(j)];
  }
  // A tensor like dy for what is computed from it element by element: dy's own memory when nothing else reads it.
  Tensor in_place_of_dy() const { return dy_.unique() ? dy_ : Tensor(dy_.shape(), dy_.dtype()); }

 private:
  Node& node_;
  const Tensor& dy_;
};

// Whether operations are recorded on this thread.
FOVEA_API bool grad_enabled();

// Puts the result of an operation on the tape: `backward(dy, grads)` will be called with the gradient of y. `name` must
// have static storage. When no input requires a gradient, or inside NoGrad, the function is dropped and y is a
// constant. `recipe` makes y again: operations that need y in backward keep it instead of y (SavedActivation).
FOVEA_API Var record(const char* name, Tensor y, std::span<const Var> inputs, BackwardFn backward, Recipe recipe = {});
inline Var record(const char* name, Tensor y, std::initializer_list<Var> inputs, BackwardFn backward,
                  Recipe recipe = {}) {
  return record(name, std::move(y), std::span<const Var>(inputs.begin(), inputs.size()), std::move(backward),
                std::move(recipe));
}
inline Var record(const char* name, Tensor y, const std::vector<Var>& inputs, BackwardFn backward, Recipe recipe = {}) {
  return record(name, std::move(y), std::span<const Var>(inputs), std::move(backward), std::move(recipe));
}

}  // namespace fovea
