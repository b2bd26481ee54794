#include "fovea/autograd/checkpoint.h"

#include "autograd/tape.h"
#include "fovea/autograd/backward.h"
#include "fovea/autograd/no_grad.h"
#include "fovea/autograd/saved.h"

namespace fovea {
namespace {

using detail::TapeScope;
using detail::TapeState;

// Computes f again with a tape of its own and goes through it. Parameters get their gradients from there directly.
class Recompute {
 public:
  Recompute(CheckpointFn f, const std::vector<Var>& inputs) : function_(std::move(f)) {
    for (const Var& input : inputs) inputs_.emplace_back(input);
  }

  void operator()(const Tensor& dy, Grads& grads) const {
    std::vector<Var> leaves;
    for (int i = 0; i < static_cast<int>(inputs_.size()); ++i) leaves.push_back(leaf(i, leaves, grads));
    const Var y = run(leaves);
    FOVEA_CHECK(y.shape() == dy.shape() && y.requires_grad(), "[checkpoint] the function gave ", y.shape(),
                " the second time, ", dy.shape(), " the first\nhint: it must compute the same both times");
    backward(y, dy);
    for (Var& input : leaves) {
      if (input.requires_grad() && !input.node()->has_grad) input.node()->grad.fill(0);
    }
  }

 private:
  // Input i, whose gradient goes where that of the checkpoint's input goes, added to what is there: so the sums are
  // made in the order of a tape without checkpoints. Inputs that are one value are one leaf.
  Var leaf(int i, const std::vector<Var>& before, Grads& grads) const {
    for (int j = 0; j < i; ++j) {
      if (grads.same_input(i, j)) return before[static_cast<std::size_t>(j)];
    }
    Var input(inputs_[static_cast<std::size_t>(i)].restore(), grads.wants(i));
    if (!grads.wants(i)) return input;
    const GradSlot slot = grads.into(i);
    Node& node = *input.node();
    node.grad = slot.tensor;
    node.has_grad = slot.accumulate;
    node.grad_fixed = true;
    return input;
  }
  Var run(const std::vector<Var>& leaves) const {
    const TapeScope recording(&TapeState::recording, true), again(&TapeState::recomputing, true);
    return function_(leaves);
  }

  CheckpointFn function_;
  std::vector<SavedActivation> inputs_;
};

}  // namespace

Var checkpoint(CheckpointFn f, std::vector<Var> inputs) {
  if (!grad_enabled()) return f(inputs);
  bool differentiable = false;
  std::vector<std::shared_ptr<Node>> parameters;
  Tensor y;
  {
    const TapeScope collect(&TapeState::used_leaves, &parameters);
    const TapeScope count(&TapeState::skipped, false);
    const NoGrad nothing_is_kept;
    y = f(inputs).value();
    differentiable = detail::tape_state().skipped;
  }
  if (!differentiable) return Var(std::move(y));
  Recompute again(std::move(f), inputs);
  Var result = detail::record_always("checkpoint", std::move(y), inputs, std::move(again));
  result.node()->inner = std::move(parameters);
  return result;
}

bool recomputing() { return detail::tape_state().recomputing; }

}  // namespace fovea
