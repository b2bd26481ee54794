#include "fovea/autograd/backward.h"

#include <algorithm>
#include <atomic>
#include <unordered_map>
#include <unordered_set>

#include "autograd/anomaly_hook.h"
#include "autograd/profile_hook.h"
#include "autograd/tape.h"
#include "fovea/autograd/gradient_watch.h"
#include "fovea/autograd/no_grad.h"
#include "fovea/core/parallel.h"
#include "fovea/core/profile.h"
#include "fovea/tensor/factory.h"

namespace fovea {
namespace {

std::atomic<std::uint64_t> next_sequence{0};

// Every node that y depends on, latest first: the order in which gradients are complete.
std::vector<std::shared_ptr<Node>> nodes_latest_first(const std::shared_ptr<Node>& root) {
  std::vector<std::shared_ptr<Node>> nodes{root};
  std::unordered_set<const Node*> seen{root.get()};
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const std::shared_ptr<Node> node = nodes[i];
    for (const auto& input : node->inputs) {
      if (input && seen.insert(input.get()).second) nodes.push_back(input);
    }
  }
  std::sort(nodes.begin(), nodes.end(), [](const auto& a, const auto& b) { return a->sequence > b->sequence; });
  return nodes;
}

// Which leaves a pass over these nodes is done with, node by node.
class Completions {
 public:
  Completions(const std::vector<std::shared_ptr<Node>>& nodes, GradientWatch* watch) : watch_(watch) {
    if (watch == nullptr) return;
    std::unordered_map<Node*, const Node*> last_users;
    for (const auto& node : nodes) {
      for (const auto* leaves : {&node->inputs, &node->inner}) {
        for (const auto& leaf : *leaves) {
          if (leaf && leaf->is_leaf && leaf->grad_fixed) last_users[leaf.get()] = node.get();
        }
      }
    }
    for (const auto& [leaf, user] : last_users) leaves_[user].push_back(leaf);
  }

  void passed(const Node& node) const {
    if (watch_ == nullptr) return;
    if (const auto found = leaves_.find(&node); found != leaves_.end()) {
      for (Node* leaf : found->second) watch_->completed(*leaf);
    }
    watch_->progress();
  }

 private:
  GradientWatch* watch_;
  std::unordered_map<const Node*, std::vector<Node*>> leaves_;
};

void add_in_place(Tensor& sum, const Tensor& term) {
  dispatch_floating(sum.dtype(), "backward", [&]<class T>() {
    T* s = sum.mutable_data<T>();
    const T* t = term.data<T>();
    parallel_for(sum.numel(), 1 << 16, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) s[i] += t[i];
    });
  });
}

void add_to_slot(Node& node, Tensor gradient) {
  FOVEA_CHECK(gradient.shape() == node.shape && gradient.dtype() == node.dtype, "[backward] gradient is ",
              to_string(gradient.dtype()), " ", gradient.shape(), ", value of [", node.name, "] is ",
              to_string(node.dtype), " ", node.shape);
  if (!node.has_grad && !node.grad_fixed) {
    node.grad = std::move(gradient);
    node.has_grad = true;
    return;
  }
  const auto [destination, accumulate] = node.grad_slot();
  if (accumulate) {
    add_in_place(*destination, gradient);
  } else {
    destination->copy_from(gradient);
  }
}

// Recipes that start from the results of other recipes are used to a small depth only: making every value of a long
// chain again from its start would take time that grows with the square of its length.
void attach(Recipe recipe, Node& node) {
  constexpr int deepest = 3;
  for (const auto& input : node.inputs) {
    if (input && input->recipe) node.recipe_depth = std::max(node.recipe_depth, input->recipe_depth);
  }
  if (++node.recipe_depth <= deepest) node.recipe = std::make_shared<const Recipe>(std::move(recipe));
}

}  // namespace

Node::Node(const char* name_, Shape shape_, DType dtype_)
    : name(name_), shape(shape_), dtype(dtype_), sequence(next_sequence.fetch_add(1, std::memory_order_relaxed)) {}

// Releases a chain of sole owners without recursion: a long tape must not exhaust the stack.
Node::~Node() {
  std::vector<std::shared_ptr<Node>> pending = std::move(inputs);
  while (!pending.empty()) {
    std::shared_ptr<Node> node = std::move(pending.back());
    pending.pop_back();
    if (node && node.use_count() == 1) {
      for (auto& input : node->inputs) pending.push_back(std::move(input));
      node->inputs.clear();
    }
  }
}

std::pair<Tensor*, bool> Node::grad_slot() {
  const bool accumulate = has_grad;
  if (!grad_fixed) {
    // A gradient that was handed over may be shared with another node: copy before adding to it.
    if (accumulate && !grad.unique()) grad = grad.clone();
    if (!accumulate) grad = Tensor(shape, dtype);
  }
  has_grad = true;
  return {&grad, accumulate};
}

Var::Var(Tensor value, bool requires_grad) : value_(std::move(value)) {
  if (!requires_grad) return;
  FOVEA_CHECK(dtype() == DType::f32 || dtype() == DType::f64, "[var] only f32 and f64 can require a gradient, got ",
              to_string(dtype()));
  node_ = std::make_shared<Node>("leaf", shape(), dtype());
}

GradSlot Grads::into(int i) {
  const auto [tensor, accumulate] = node_.inputs[static_cast<std::size_t>(i)]->grad_slot();
  return {*tensor, accumulate};
}

void Grads::add(int i, Tensor gradient) {
  add_to_slot(*node_.inputs[static_cast<std::size_t>(i)], std::move(gradient));
}

detail::TapeState& detail::tape_state() {
  thread_local TapeState state;
  return state;
}

bool grad_enabled() { return detail::tape_state().recording; }
NoGrad::NoGrad() : previous_(grad_enabled()) { detail::tape_state().recording = false; }
NoGrad::~NoGrad() { detail::tape_state().recording = previous_; }

namespace {

void note_leaves(std::span<const Var> inputs) {
  std::vector<std::shared_ptr<Node>>* leaves = detail::tape_state().used_leaves;
  if (leaves == nullptr) return;
  for (const Var& input : inputs) {
    if (input.node() && input.node()->is_leaf && input.node()->grad_fixed) leaves->push_back(input.node());
  }
}

Var put_on_tape(const char* name, Tensor y, std::span<const Var> inputs, BackwardFn backward, Recipe recipe) {
  if (std::none_of(inputs.begin(), inputs.end(), [](const Var& input) { return input.requires_grad(); })) {
    return Var(std::move(y));
  }
  if (!grad_enabled()) {
    detail::tape_state().skipped = true;
    note_leaves(inputs);
    return Var(std::move(y));
  }
  Var result = detail::record_always(name, std::move(y), inputs, std::move(backward));
  if (recipe) attach(std::move(recipe), *result.node());
  return result;
}

}  // namespace

Var record(const char* name, Tensor y, std::span<const Var> inputs, BackwardFn backward, Recipe recipe) {
  if (AnomalyHook::on()) AnomalyHook::check_result(name, y, inputs);
  Var result = put_on_tape(name, std::move(y), inputs, std::move(backward), std::move(recipe));
  if (ProfileHook::on()) ProfileHook::recorded(name, result, inputs);
  return result;
}

Var detail::record_always(const char* name, Tensor y, std::span<const Var> inputs, BackwardFn backward) {
  auto node = std::make_shared<Node>(name, y.shape(), y.dtype());
  node->is_leaf = false;
  node->inputs.reserve(inputs.size());
  for (const Var& input : inputs) node->inputs.push_back(input.node());
  node->backward = std::move(backward);
  return Var(std::move(y), std::move(node));
}

namespace {

void run_backward(const Var& y, Tensor dy, GradientWatch* watch) {
  FOVEA_CHECK(y.requires_grad(), "[backward] the value does not depend on anything that requires a gradient");
  if (!dy.defined()) {
    FOVEA_CHECK(y.value().numel() == 1, "[backward] needs the gradient of a value with ", y.value().numel(),
                " elements\nhint: reduce it to one number first, or pass dy");
    dy = full(y.shape(), 1, y.dtype());
  }
  const NoGrad nothing_is_recorded;
  const profile::Span span("backward");
  std::vector<std::shared_ptr<Node>> nodes = nodes_latest_first(y.node());
  const Completions completions(nodes, watch);
  add_to_slot(*y.node(), std::move(dy));
  for (std::shared_ptr<Node>& node : nodes) {
    if (node->is_leaf || !node->has_grad) {
      completions.passed(*node);
      node.reset();
      continue;
    }
    FOVEA_CHECK(node->backward, "[backward] the tape of [", node->name,
                "] was already used and freed\nhint: compute the value again before a second backward");
    ProfileHook::Backward profile(*node);
    const Tensor gradient = std::move(node->grad);
    node->grad = Tensor();
    node->has_grad = false;
    BackwardFn function = std::move(node->backward);
    node->recipe.reset();
    Grads grads(*node, gradient);
    function(gradient, grads);
    profile.ran(*node, gradient);
    if (AnomalyHook::on()) AnomalyHook::check_gradients(*node);
    completions.passed(*node);
    node->inputs.clear();
    node.reset();
  }
}

}  // namespace

void backward(const Var& y, Tensor dy) { run_backward(y, std::move(dy), nullptr); }

void last_backward(const Var& y) { run_backward(y, {}, detail::tape_state().watch); }

GradientWatch::~GradientWatch() = default;

WatchGradients::WatchGradients(GradientWatch* watch) : previous_(detail::tape_state().watch) {
  detail::tape_state().watch = watch;
}
WatchGradients::~WatchGradients() { detail::tape_state().watch = previous_; }

}  // namespace fovea
