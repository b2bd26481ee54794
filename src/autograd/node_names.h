// Names of the tape's leaves, found by address. Private to the sources.
#pragma once

#include <algorithm>

#include "fovea/autograd/var.h"

namespace fovea::detail {

inline const Node* node_of(const Var& input) { return input.node().get(); }
inline const Node* node_of(const std::shared_ptr<Node>& input) { return input.get(); }

// `names` must be sorted. Null when the node has no name.
inline const NodeNames::value_type* find_name(const NodeNames& names, const Node* node) {
  if (node == nullptr || !node->is_leaf) return nullptr;
  const auto found = std::lower_bound(names.begin(), names.end(), node,
                                      [](const auto& entry, const Node* wanted) { return entry.first < wanted; });
  return found != names.end() && found->first == node ? &*found : nullptr;
}

// That of the first input that has one; null when none has.
template <class Inputs>
const NodeNames::value_type* name_among(const NodeNames& names, const Inputs& inputs) {
  for (const auto& input : inputs) {
    if (const auto* found = find_name(names, node_of(input))) return found;
  }
  return nullptr;
}

}  // namespace fovea::detail
