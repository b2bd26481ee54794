#include "fovea/testing/golden.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "fovea/core/suggest.h"
#include "fovea/nn/parameter_file.h"
#include "fovea/tensor/factory.h"
#include "fovea/tensor/reduce.h"

namespace fovea::testing {
namespace {

// Why the two cannot be compared; empty when they can.
std::string mismatch(const io::TensorMap& ours, const io::TensorMap& reference) {
  for (const auto& [name, tensor] : reference) {
    const auto own = ours.find(name);
    if (own == ours.end()) return "missing: " + name;
    if (!own->second.defined()) return "undefined: " + name;
    if (!(own->second.shape() == tensor.shape())) {
      return concat(name, " is ", own->second.shape(), ", reference ", tensor.shape());
    }
  }
  for (const auto& [name, tensor] : ours) {
    if (!reference.contains(name)) return "not in the reference: " + name;
  }
  return "";
}

}  // namespace

Golden::Golden(const std::string& path)
    : path_(path), tensors_(io::load_safetensors(path)), metadata_(io::load_safetensors_metadata(path)) {}

const Tensor& Golden::operator[](const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found != tensors_.end()) return found->second;
  std::vector<std::string> names;
  for (const auto& [known, tensor] : tensors_) names.push_back(known);
  const std::string nearest = nearest_name(name, names);
  fail("[golden] ", path_, " has no tensor \"", name, "\"",
       nearest.empty() ? std::string() : "\nhint: did you mean \"" + nearest + "\"?");
}

const std::string& Golden::metadata(const std::string& key) const {
  const auto found = metadata_.find(key);
  FOVEA_CHECK(found != metadata_.end(), "[golden] ", path_, " has no metadata \"", key, "\"");
  return found->second;
}

io::TensorMap Golden::with_prefix(std::string_view prefix) const {
  io::TensorMap found;
  for (const auto& [name, tensor] : tensors_) {
    if (name.starts_with(prefix)) found.emplace(name.substr(prefix.size()), tensor);
  }
  return found;
}

void Golden::load_parameters(const std::vector<nn::ParamEntry>& entries) const {
  io::TensorMap stored = with_prefix("param."), own;
  stored.merge(with_prefix("buffer."));
  std::erase_if(stored, [](const auto& item) { return item.first.ends_with("num_batches_tracked"); });
  for (const nn::ParamEntry& entry : entries) own.emplace(entry.path, nn::to_file_layout(entry, entry.value()));
  const std::string reason = mismatch(own, stored);
  FOVEA_CHECK(reason.empty(), "[golden] ", path_, " does not fit the module: ", reason);
  for (const nn::ParamEntry& entry : entries) {
    Tensor value = entry.value();
    value.copy_from(nn::from_file_layout(entry, stored.at(entry.path)));
  }
}

io::TensorMap gradients_of(const std::vector<nn::ParamEntry>& entries) {
  io::TensorMap gradients;
  for (const nn::ParamEntry& entry : entries) {
    if (entry.leaf->is_buffer()) continue;
    const Tensor value = entry.value(), grad = entry.grad();
    gradients.emplace(entry.path,
                      nn::to_file_layout(entry, grad.defined() ? grad : zeros(value.shape(), value.dtype())));
  }
  return gradients;
}

io::TensorMap buffers_of(const std::vector<nn::ParamEntry>& entries) {
  io::TensorMap buffers;
  for (const nn::ParamEntry& entry : entries) {
    if (entry.leaf->is_buffer()) buffers.emplace(entry.path, nn::to_file_layout(entry, entry.value()));
  }
  return buffers;
}

CheckResult compare_tensors(const io::TensorMap& ours, const io::TensorMap& reference, double tolerance, double floor) {
  const std::string reason = mismatch(ours, reference);
  if (!reason.empty()) return {false, std::numeric_limits<double>::infinity(), reason};
  CheckResult result;
  for (const auto& [name, tensor] : reference) {
    const double error = relative_error(ours.at(name), tensor, floor);
    if (error > result.worst || result.message.empty()) {
      result.worst = error;
      result.message = concat(name, ": relative error ", error, ", tolerance ", tolerance);
    }
  }
  result.passed = result.worst <= tolerance;
  return result;
}

CheckResult compare_gradients(const io::TensorMap& ours, const io::TensorMap& reference, double tolerance) {
  double largest = 0;
  for (const auto& [name, tensor] : reference) largest = std::max(largest, max_abs(tensor));
  return compare_tensors(ours, reference, tolerance, 1e-3 * largest);
}

}  // namespace fovea::testing
