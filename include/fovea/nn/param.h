// Parameters and buffers of modules.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "fovea/autograd/var.h"
#include "fovea/core/rng.h"

namespace fovea::nn {

// How a published file stores a parameter that lies differently in memory here.
enum class FileLayout : std::uint8_t {
  native,  // as in memory
  oihw,    // convolution weight, in memory (O, H, W, I)
};

// What a parameter or buffer owns on the heap. Stores, tapes and checkpoints hold the leaf, never the address of a
// module's field, so modules may move.
struct ParamLeaf {
  Tensor value;
  std::shared_ptr<Node> node;  // on the tape; null in a buffer
  std::string path;            // "vision_model.encoder.layers.0.mlp.fc1.weight"; written by name_parameters
  FileLayout layout = FileLayout::native;
  bool frozen = false;  // no gradient and no update
  bool decay = true;    // takes part in weight decay
  double lr_scale = 1;  // multiplies the learning rate

  bool is_buffer() const { return node == nullptr; }
};

// One trainable tensor of a module.
class Param {
 public:
  // Weight decay applies to matrices and filters unless `decay` says otherwise; gains and biases are never decayed.
  explicit Param(Tensor value, FileLayout layout = FileLayout::native, bool decay = true)
      : leaf_(std::make_shared<ParamLeaf>()) {
    leaf_->node = std::make_shared<Node>("parameter", value.shape(), value.dtype());
    leaf_->decay = decay && value.rank() >= 2;
    leaf_->value = std::move(value);
    leaf_->layout = layout;
  }

  // The value on the tape; a constant when frozen.
  Var operator()() const { return leaf_->frozen ? Var(leaf_->value) : Var(leaf_->value, leaf_->node); }

  const Tensor& value() const { return leaf_->value; }
  Tensor& value() { return leaf_->value; }
  const Shape& shape() const { return leaf_->value.shape(); }
  Tensor grad() const { return (*this)().grad(); }
  const std::shared_ptr<ParamLeaf>& leaf() const { return leaf_; }

 private:
  std::shared_ptr<ParamLeaf> leaf_;
};

// One tensor of a module that is saved but not trained: BatchNorm's running statistics.
class Buffer {
 public:
  explicit Buffer(Tensor value) : leaf_(std::make_shared<ParamLeaf>()) { leaf_->value = std::move(value); }

  Tensor& value() const { return leaf_->value; }
  const std::shared_ptr<ParamLeaf>& leaf() const { return leaf_; }

 private:
  std::shared_ptr<ParamLeaf> leaf_;
};

}  // namespace fovea::nn
