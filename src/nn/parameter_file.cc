#include "fovea/nn/parameter_file.h"

#include <cstring>
#include <set>

#include "fovea/io/safetensors.h"
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

// Everything that does not fit, a line each.
std::vector<std::string> differences(const io::TensorMap& file, const std::vector<ParamEntry>& entries) {
  std::vector<std::string> found;
  std::set<std::string> known;
  for (const ParamEntry& entry : entries) {
    known.insert(entry.path);
    const auto stored = file.find(entry.path);
    if (stored == file.end()) {
      found.push_back("missing: " + entry.path);
    } else if (!(stored->second.shape() == file_shape(entry))) {
      found.push_back(
          concat(entry.path, " is ", stored->second.shape(), " in the file, ", file_shape(entry), " in the model"));
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

void save_parameters(const std::string& path, const std::vector<ParamEntry>& entries) {
  io::TensorMap file;
  for (const ParamEntry& entry : entries) file.emplace(entry.path, to_file_layout(entry, entry.value()));
  io::save_safetensors(path, file, {{"format", "pt"}});
}

void load_parameters(const std::string& path, const std::vector<ParamEntry>& entries) {
  const io::TensorMap file = io::load_safetensors(path);
  refuse_differences("[load] " + path + " does not fit the model", differences(file, entries),
                     "\nhint: the config.json beside the file must describe the same model");
  for (const ParamEntry& entry : entries)
    entry.value().copy_from(from_file_layout(entry, file.at(entry.path)).to(entry.leaf->value.dtype()));
}

}  // namespace fovea::nn
