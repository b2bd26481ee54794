#include "fovea/optim/param_store.h"

#include <cstring>

#include "fovea/core/allocator.h"
#include "fovea/tensor/factory.h"

namespace fovea::optim {
namespace {

constexpr std::int64_t padding = 16;  // elements: every parameter starts on a 64-byte boundary

std::int64_t padded(std::int64_t length) { return (length + padding - 1) / padding * padding; }

}  // namespace

ParamStore::ParamStore(const std::vector<nn::ParamEntry>& entries) {
  std::int64_t total = 0;
  for (const nn::ParamEntry& entry : entries) {
    const auto& leaf = entry.leaf;
    if (leaf->is_buffer() || leaf->frozen) continue;
    const bool placed = !offsets_.emplace(leaf.get(), total).second;
    const Tensor part = entry.value();
    const std::int64_t before = entry.is_part ? entry.begin * (part.numel() / (entry.end - entry.begin)) : 0;
    segment_of_.emplace(std::pair(leaf.get(), entry.begin), segments_.size());
    segments_.push_back({{offsets_[leaf.get()] + before, part.numel(), leaf->decay, leaf->lr_scale}, part.shape()});
    if (placed) continue;
    FOVEA_CHECK(leaves_.empty() || leaf->value.dtype() == leaves_.front()->value.dtype(), "[param_store] ", entry.path,
                " is ", to_string(leaf->value.dtype()), ", the others are ", to_string(leaves_.front()->value.dtype()));
    const std::int64_t length = padded(leaf->value.numel());
    if (runs_.empty() || runs_.back().decay != leaf->decay || runs_.back().lr_scale != leaf->lr_scale)
      runs_.push_back({total, 0, leaf->decay, leaf->lr_scale});
    runs_.back().length += length;
    leaves_.push_back(leaf);
    total += length;
  }
  FOVEA_CHECK(!leaves_.empty(), "[param_store] the model has no trainable parameter");
  const DType dtype = leaves_.front()->value.dtype();
  weights_ = zeros({total}, dtype);
  gradients_ = zeros({total}, dtype);
  for (const auto& leaf : leaves_) {
    const std::int64_t offset = offsets_[leaf.get()];
    Tensor home = weights_.segment(offset, leaf->value.shape());
    home.copy_from(leaf->value);
    leaf->value = home;
    leaf->node->grad = gradients_.segment(offset, home.shape());
    leaf->node->grad_fixed = true;
    leaf->node->has_grad = false;
  }
  allocator::release_cached();  // where the values were: as much as all weights, in sizes that training may not ask for
}

Tensor& ParamStore::role(const std::string& name) { return role(name, weights_.dtype()); }

Tensor& ParamStore::role(const std::string& name, DType dtype) {
  Tensor& block = roles_[name];
  if (!block.defined()) block = zeros(weights_.shape(), dtype);
  return block;
}

Tensor& ParamStore::reduced_role(const std::string& name, const std::vector<std::int64_t>& numbers) {
  FOVEA_CHECK(numbers.size() == segments_.size(), "[param_store] there are ", segments_.size(), " tensors, sizes of ",
              numbers.size());
  Tensor& block = roles_[name];
  if (block.defined()) return block;
  std::vector<std::int64_t>& begins = reduced_[name];
  begins.push_back(0);
  for (const std::int64_t count : numbers) begins.push_back(begins.back() + count);
  block = zeros({begins.back()}, weights_.dtype());
  return block;
}

Tensor ParamStore::role_view(const std::string& name, const nn::ParamEntry& entry) const {
  const auto reduced = reduced_.find(name);
  if (reduced == reduced_.end()) return view(roles_.at(name), entry);
  const auto found = segment_of_.find({entry.leaf.get(), entry.begin});
  if (found == segment_of_.end()) return {};
  const std::int64_t begin = reduced->second[found->second], end = reduced->second[found->second + 1];
  return roles_.at(name).segment(begin, {end - begin});
}

std::vector<ParamStore::Slot> ParamStore::slots() const {
  std::vector<Slot> found;
  for (const auto& leaf : leaves_)
    found.push_back({leaf->node.get(), offsets_.at(leaf.get()), padded(leaf->value.numel())});
  return found;
}

void ParamStore::clear_gradients() {
  for (const auto& leaf : leaves_) leaf->node->has_grad = false;
}

void ParamStore::complete_gradients() {
  for (const auto& leaf : leaves_) {
    if (leaf->node->has_grad) continue;
    leaf->node->grad.fill(0);
    leaf->node->has_grad = true;
  }
}

void ParamStore::weights_changed() {
  for (const auto& leaf : leaves_) leaf->value.bump_version();
}

Tensor ParamStore::view(const Tensor& block, const nn::ParamEntry& entry) const {
  const auto found = offsets_.find(entry.leaf.get());
  if (found == offsets_.end()) return {};
  const Tensor whole = block.segment(found->second, entry.leaf->value.shape());
  return entry.is_part ? whole.rows(entry.begin, entry.end) : whole;
}

}  // namespace fovea::optim
