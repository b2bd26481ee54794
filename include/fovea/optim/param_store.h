// All parameters of a model in flat blocks.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "fovea/nn/visit.h"

namespace fovea::optim {

// Owns one aligned block per role (weight, gradient, moments), so that the optimiser, clipping, exchange between ranks
// and saving are single passes over a span. The model's parameters become views into the weight block, and backward
// writes gradients straight into the gradient block.
class FOVEA_API ParamStore {
 public:
  // A stretch of the blocks that the optimiser treats alike.
  struct Run {
    std::int64_t offset = 0, length = 0;  // elements
    bool decay = true;
    double lr_scale = 1;
  };
  // One named tensor.
  struct Segment : Run {
    Shape shape;
  };

  // Moves the values of all trainable parameters of the list into the store; buffers and frozen ones stay outside.
  // Throws Error when there is none, or when their types differ.
  explicit ParamStore(const std::vector<nn::ParamEntry>& entries);

  Tensor& weights() { return weights_; }
  Tensor& gradients() { return gradients_; }
  // A block of zeros, created on first use: "exp_avg", "exp_avg_sq", ... Of the weights' type, or of the one given.
  Tensor& role(const std::string& name);
  Tensor& role(const std::string& name, DType dtype);
  // A block that has `numbers[i]` elements for segment i, one segment's after the other's.
  Tensor& reduced_role(const std::string& name, const std::vector<std::int64_t>& numbers);
  const std::map<std::string, Tensor>& roles() const { return roles_; }

  // Everything, neighbouring parameters in as few runs as possible.
  const std::vector<Run>& runs() const { return runs_; }
  // The named tensors one by one: the parts of a joined parameter apart.
  const std::vector<Segment>& segments() const { return segments_; }

  // Where every parameter's node has its gradient, ascending; lengths with the padding behind it.
  struct Slot {
    const Node* leaf = nullptr;
    std::int64_t offset = 0, length = 0;  // elements
  };
  std::vector<Slot> slots() const;

  void clear_gradients();     // the next backward overwrites
  void complete_gradients();  // zeros for parameters that backward did not reach
  void weights_changed();     // bumps every parameter's version, after a pass over the weight block

  // The part of a role's block that belongs to an entry, in the entry's shape; undefined for one outside the store.
  Tensor view(const Tensor& block, const nn::ParamEntry& entry) const;
  // The part of an existing role by its name; that of a reduced role is a vector.
  Tensor role_view(const std::string& name, const nn::ParamEntry& entry) const;
  bool is_reduced(const std::string& name) const { return reduced_.contains(name); }

 private:
  std::vector<std::shared_ptr<nn::ParamLeaf>> leaves_;
  std::map<const nn::ParamLeaf*, std::int64_t> offsets_;
  std::map<std::pair<const nn::ParamLeaf*, std::int64_t>, std::size_t> segment_of_;  // by leaf and first row
  std::vector<Run> runs_;
  std::vector<Segment> segments_;
  Tensor weights_, gradients_;
  std::map<std::string, Tensor> roles_;
  std::map<std::string, std::vector<std::int64_t>> reduced_;  // where each segment's elements begin, and the end
};

}  // namespace fovea::optim
