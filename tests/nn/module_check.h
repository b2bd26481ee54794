// Checks of whole layers: their parameters become inputs of the checks of operations.
#pragma once

#include <memory>
#include <vector>

#include "fovea/nn/visit.h"
#include "fovea/testing/gradcheck.h"

namespace fovea::testing {

// The leaves of a module, each once although it may have named parts.
inline std::vector<std::shared_ptr<nn::ParamLeaf>> leaves_of(const std::vector<nn::ParamEntry>& entries) {
  std::vector<std::shared_ptr<nn::ParamLeaf>> leaves;
  for (const nn::ParamEntry& entry : entries) {
    if (leaves.empty() || leaves.back() != entry.leaf) leaves.push_back(entry.leaf);
  }
  return leaves;
}

// check_op of forward(inputs) in the inputs and in every parameter of the module, whose values are replaced by random
// ones: initial values hide errors behind zeros and ones. Every call sees the same buffers.
template <class Module, class Forward>
CheckResult check_module(Module& module, const std::vector<Tensor>& inputs, const Forward& forward,
                         const GradcheckOptions& options = {}) {
  std::vector<std::shared_ptr<nn::ParamLeaf>> parameters, buffers;
  std::vector<Tensor> all = inputs, buffer_values;
  for (const auto& leaf : leaves_of(nn::collect(module))) {
    if (leaf->is_buffer()) {
      buffers.push_back(leaf);
      buffer_values.push_back(leaf->value);
    } else {
      parameters.push_back(leaf);
      all.push_back(normal_inputs({leaf->value.shape()}, 100 + parameters.size())[0]);
    }
  }
  const auto f = [&](std::span<const Var> in) {
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const Var& value = in[inputs.size() + i];
      parameters[i]->value = value.value();
      parameters[i]->node = value.node();
    }
    for (std::size_t i = 0; i < buffers.size(); ++i) buffers[i]->value = buffer_values[i].to(in[0].dtype()).clone();
    return forward(in.first(inputs.size()));
  };
  return check_op(f, all, options);
}

}  // namespace fovea::testing
