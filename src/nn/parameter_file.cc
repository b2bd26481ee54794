#include "fovea/nn/parameter_file.h"

#include <cstring>
#include <set>

#include "fovea/tensor/factory.h"
#include "nn/differences.h"

namespace fovea::nn {
namespace {

// Copies x (A, B, C) to (A, C, B), element by element.
Tensor swap_inner_axes(const Tensor& x, std::int64_t a, std::int64_t b, std::int64_t c, const Shape& shape) {
  Tensor out(shape, x.dtype());
  const auto size = static_cast<std::size_t>(size_of(x.dtype()));
  const auto* from = static_cast<const std::byte*>(x.raw());
  auto* to = static_cast<std::byte*>(out.mutable_raw());
  for (std::int64_t i = 0; i < a; ++i) {
    for (std::int64_t j = 0; j < b; ++j) {
      for (std::int64_t k = 0; k < c; ++k) {
        std::memcpy(to + static_cast<std::size_t>((i * c + k) * b + j) * size,
                    from + static_cast<std::size_t>((i * b + j) * c + k) * size, size);
      }
    }
  }
  return out;
}

bool is_filter(const ParamEntry& entry) { return entry.leaf->layout == FileLayout::oihw; }

Shape file_shape(const ParamEntry& entry) {
  const Shape s = entry.value().shape();
  return is_filter(entry) ? Shape{s[0], s[3], s[1], s[2]} : s;
}

Tensor transposed(const Tensor& x) { return swap_inner_axes(x, 1, x.dim(0), x.dim(1), {x.dim(1), x.dim(0)}); }

// Tensors of equal shape, one below the other.
Tensor stacked(const std::vector<Tensor>& parts) {
  if (parts.size() == 1) return parts.front();
  Shape shape = parts.front().shape();
  shape.set(0, shape[0] * static_cast<std::int64_t>(parts.size()));
  Tensor out(shape, parts.front().dtype());
  std::int64_t begin = 0;
  for (const Tensor& part : parts) {
    out.rows(begin, begin + part.dim(0)).copy_from(part);
    begin += part.dim(0);
  }
  return out;
}

// A value of each part, as the file holds them together.
template <class ValueOf>
Tensor gather(const FileTensor& tensor, const ValueOf& value_of) {
  std::vector<Tensor> values;
  for (const ParamEntry& part : tensor.parts) values.push_back(to_file_layout(part, value_of(part)));
  const Tensor all = stacked(values);
  if (tensor.as) return all.reshape(*tensor.as);
  return tensor.transposed ? transposed(all) : all;
}

// The shape of all parts together, before what the file does to them.
Shape stacked_shape(const FileTensor& tensor) {
  Shape shape = file_shape(tensor.parts.front());
  const auto parts = static_cast<std::int64_t>(tensor.parts.size());
  if (parts > 1) shape.set(0, shape[0] * parts);
  return shape;
}

void set(const FileTensor& tensor, const Tensor& stored) {
  const Tensor all = tensor.transposed ? transposed(stored) : stored.reshape(stacked_shape(tensor));
  std::int64_t begin = 0;
  for (const ParamEntry& part : tensor.parts) {
    const bool whole = tensor.parts.size() == 1;
    const std::int64_t rows = whole ? 0 : file_shape(part)[0];
    const Tensor own = whole ? all : all.rows(begin, begin + rows);
    part.value().copy_from(from_file_layout(part, own).to(part.leaf->value.dtype()));
    begin += rows;
  }
}

// Published files hold single numbers as () or as (1).
bool fits(const Shape& stored, const Shape& expected) {
  const auto is_number = [](const Shape& s) { return s.rank() == 0 || (s.rank() == 1 && s[0] == 1); };
  return stored == expected || (is_number(stored) && is_number(expected));
}

// Everything that does not fit, a line each.
std::vector<std::string> differences(const io::TensorMap& file, const std::vector<FileTensor>& tensors) {
  std::vector<std::string> found;
  std::set<std::string> known;
  for (const FileTensor& tensor : tensors) {
    known.insert(tensor.name);
    const auto stored = file.find(tensor.name);
    if (stored == file.end()) {
      found.push_back("missing: " + tensor.name);
    } else if (!fits(stored->second.shape(), tensor.shape())) {
      found.push_back(
          concat(tensor.name, " is ", stored->second.shape(), " in the file, ", tensor.shape(), " in the model"));
    }
  }
  for (const auto& [name, tensor] : file) {
    if (!known.contains(name) && !name.ends_with("position_ids") && !name.ends_with("num_batches_tracked")) {
      found.push_back("unexpected: " + name);
    }
  }
  return found;
}

}  // namespace

Tensor to_file_layout(const ParamEntry& entry, const Tensor& value) {
  if (!is_filter(entry)) return value;
  const Shape& s = value.shape();
  return swap_inner_axes(value, s[0], s[1] * s[2], s[3], {s[0], s[3], s[1], s[2]});
}

Tensor from_file_layout(const ParamEntry& entry, const Tensor& stored) {
  if (!is_filter(entry)) return stored;
  const Shape& s = stored.shape();
  return swap_inner_axes(stored, s[0], s[1], s[2] * s[3], {s[0], s[2], s[3], s[1]});
}

Shape FileTensor::shape() const {
  if (as) return *as;
  const Shape shape = stacked_shape(*this);
  return transposed ? Shape{shape[1], shape[0]} : shape;
}

Tensor FileTensor::value() const {
  return gather(*this, [](const ParamEntry& part) { return part.value(); });
}

Tensor FileTensor::gradient() const {
  return gather(*this, [](const ParamEntry& part) {
    const Tensor grad = part.grad();
    return grad.defined() ? grad : zeros(part.value().shape(), part.leaf->value.dtype());
  });
}

std::vector<FileTensor> native_tensors(const std::vector<ParamEntry>& entries) {
  std::vector<FileTensor> tensors;
  for (const ParamEntry& entry : entries) tensors.push_back({entry.path, {entry}});
  return tensors;
}

void save_parameters(const std::string& path, const std::vector<FileTensor>& tensors, io::FloatFormat floats) {
  io::TensorMap file;
  for (const FileTensor& tensor : tensors) file.emplace(tensor.name, tensor.value());
  io::save_safetensors(path, file, {{"format", "pt"}}, floats);
}

void save_parameters(const std::string& path, const std::vector<ParamEntry>& entries) {
  save_parameters(path, native_tensors(entries));
}

void load_parameters(const std::string& path, const io::TensorMap& file, const std::vector<FileTensor>& tensors) {
  refuse_differences("[load] " + path + " does not fit the model", differences(file, tensors),
                     "\nhint: the configuration beside the file must describe the same model");
  for (const FileTensor& tensor : tensors) set(tensor, file.at(tensor.name));
}

void load_parameters(const std::string& path, const std::vector<ParamEntry>& entries) {
  load_parameters(path, io::load_safetensors(path), native_tensors(entries));
}

}  // namespace fovea::nn
