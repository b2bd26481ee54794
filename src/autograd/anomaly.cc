#include "fovea/autograd/anomaly.h"

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "autograd/anomaly_hook.h"
#include "autograd/node_names.h"
#include "fovea/tensor/reduce.h"

namespace fovea {
namespace {

thread_local const DetectAnomaly* detector = nullptr;

bool is_floating(const Tensor& x) { return x.defined() && (x.dtype() == DType::f32 || x.dtype() == DType::f64); }

}  // namespace

std::string to_string(const Anomaly& a) {
  std::string text = concat("[anomaly] ", a.in_backward ? "the backward pass of [" : "[", a.op, "]");
  if (!a.parameter.empty()) text += " with " + a.parameter;
  if (a.parameter.empty() && !a.previous.empty()) text += " after the operation with " + a.previous;
  text += concat(" gives ", a.value, " at element ", a.element, " of ", a.shape);
  return a.cause.empty() ? text : text + "; " + a.cause;
}

DetectAnomaly::DetectAnomaly(NodeNames parameters) : names_(std::move(parameters)), previous_(detector) {
  std::sort(names_.begin(), names_.end());
  detector = this;
}
DetectAnomaly::~DetectAnomaly() { detector = previous_; }

bool AnomalyHook::on() { return detector != nullptr; }

std::string AnomalyHook::name_of(const Node* node) {
  const auto* found = detail::find_name(detector->names_, node);
  return found ? found->second : "";
}

template <class Inputs>
std::string AnomalyHook::parameter_among(const Inputs& inputs) {
  const auto* found = detail::name_among(detector->names_, inputs);
  return found ? found->second : "";
}

// Breadth first: the operations closest to the end come first.
std::string AnomalyHook::nearest_parameter(std::vector<const Node*> nodes) {
  std::unordered_set<const Node*> seen(nodes.begin(), nodes.end());
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (nodes[i] == nullptr) continue;
    const auto& inputs = nodes[i]->inputs;
    if (std::string name = parameter_among(inputs); !name.empty()) return name;
    for (const auto& input : inputs) {
      if (seen.insert(input.get()).second) nodes.push_back(input.get());
    }
  }
  return "";
}

void AnomalyHook::report(Anomaly found, const Tensor& values) {
  found.shape = values.shape();
  while (std::isfinite(values.at(found.element))) ++found.element;
  found.value = values.at(found.element);
  if (std::isnan(found.value)) found.value = std::abs(found.value);  // whose sign means nothing
  throw AnomalyError(std::move(found));
}

void AnomalyHook::check_result(const char* op, const Tensor& y, std::span<const Var> inputs) {
  if (!is_floating(y) || all_finite(y)) return;
  Anomaly found;
  found.op = op;
  found.parameter = parameter_among(inputs);
  std::vector<const Node*> nodes;
  for (const Var& input : inputs) {
    nodes.push_back(detail::node_of(input));
    if (!is_floating(input.value()) || all_finite(input.value())) continue;
    const std::string name = name_of(detail::node_of(input));
    found.cause = name.empty() ? "its input is not finite already" : name + " is not finite already";
  }
  if (found.parameter.empty()) found.previous = nearest_parameter(std::move(nodes));
  report(std::move(found), y);
}

void AnomalyHook::check_gradients(const Node& node) {
  for (const auto& input : node.inputs) {
    if (input == nullptr || !input->has_grad || all_finite(input->grad)) continue;
    Anomaly found;
    found.op = node.name;
    found.in_backward = true;
    found.of_parameter = !name_of(input.get()).empty();
    found.parameter = parameter_among(node.inputs);
    if (found.parameter.empty()) found.previous = nearest_parameter({&node});
    report(std::move(found), input->grad);
  }
}

}  // namespace fovea
