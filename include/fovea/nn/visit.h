// Walks the fields of a module. A module lists them once:
//
//   static void visit(auto& self, auto&& f) { f("fc1", self.up); f("fc2", self.down); }
//
// and parameter names, checkpoints, freezing, counting, decay groups, import and export follow from that list.
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "fovea/nn/param.h"

namespace fovea::nn {

// Names of equal row blocks of one parameter that published files store apart: a fused qkv matrix is
// `f({"q_proj.weight", "k_proj.weight", "v_proj.weight"}, self.qkv_weight)`.
using Parts = std::initializer_list<std::string_view>;

// One named tensor of a model: a parameter, a named part of one (rows [begin, end) of its first axis), or a buffer.
struct ParamEntry {
  std::string path;
  std::shared_ptr<ParamLeaf> leaf;
  std::int64_t begin = 0, end = 0;
  bool is_part = false;

  Tensor value() const { return is_part ? leaf->value.rows(begin, end) : leaf->value; }
  // The part of the parameter's gradient; undefined when none has arrived.
  Tensor grad() const {
    if (!leaf->node || !leaf->node->has_grad) return {};
    return is_part ? leaf->node->grad.rows(begin, end) : leaf->node->grad;
  }
};

namespace detail {

template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;
template <class T>
inline constexpr bool is_vector = false;
template <class T>
inline constexpr bool is_vector<std::vector<T>> = true;
template <class T>
inline constexpr bool is_variant = false;
template <class... T>
inline constexpr bool is_variant<std::variant<T...>> = true;

class Collector {
 public:
  Collector(std::vector<ParamEntry>& entries, std::string prefix) : entries_(entries), prefix_(std::move(prefix)) {}

  template <class Field>
  void operator()(std::string_view name, Field& field) {
    using F = std::remove_cv_t<Field>;
    if constexpr (std::is_same_v<F, Param> || std::is_same_v<F, Buffer>) {
      if (!listed(field.leaf().get())) entries_.push_back({path(name), field.leaf(), 0, 0, false});
    } else if constexpr (is_optional<F>) {
      if (field) (*this)(name, *field);
    } else if constexpr (is_vector<F>) {
      for (std::size_t i = 0; i < field.size(); ++i) (*this)(std::string(name) + "." + std::to_string(i), field[i]);
    } else if constexpr (is_variant<F>) {
      std::visit([&](auto& alternative) { (*this)(name, alternative); }, field);
    } else {
      F::visit(field, Collector(entries_, path(name)));
    }
  }

  void operator()(Parts names, const Param& param) {
    if (listed(param.leaf().get())) return;
    const auto parts = static_cast<std::int64_t>(names.size());
    const std::int64_t rows = param.shape()[0] / parts;
    FOVEA_CHECK(rows * parts == param.shape()[0], "[visit] ", param.shape(), " does not divide into ", parts, " parts");
    std::int64_t begin = 0;
    for (std::string_view name : names) {
      entries_.push_back({path(name), param.leaf(), begin, begin + rows, true});
      begin += rows;
    }
  }

 private:
  // An empty name adds no level: wrappers that hold a variant leave the names of what they hold as they are.
  std::string path(std::string_view name) const {
    if (prefix_.empty() || name.empty()) return prefix_ + std::string(name);
    return prefix_ + "." + std::string(name);
  }

  // A tensor that modules share is listed once, under its first name.
  bool listed(const ParamLeaf* leaf) const {
    for (const ParamEntry& entry : entries_) {
      if (entry.leaf.get() == leaf) return true;
    }
    return false;
  }

  std::vector<ParamEntry>& entries_;
  std::string prefix_;
};

}  // namespace detail

// Every named tensor of a model, in the order of its fields.
template <class Module>
std::vector<ParamEntry> collect(Module& module) {
  std::vector<ParamEntry> entries;
  std::remove_cv_t<Module>::visit(module, detail::Collector(entries, ""));
  return entries;
}

// Writes each leaf's path into it (the first part's for a parameter of parts). Call once after construction.
FOVEA_API void name_parameters(const std::vector<ParamEntry>& entries);

// Trainable parameters on the tape with their paths (the first part's for a parameter of parts), and with the paths of
// the modules that they belong to.
FOVEA_API NodeNames parameter_names(const std::vector<ParamEntry>& entries);
FOVEA_API NodeNames module_names(const std::vector<ParamEntry>& entries);

// Freezes every parameter whose path matches one of the globs ("vision_model.*"; * matches any text). Throws Error for
// a glob that matches nothing, and when only some of a parameter's named parts match; nothing is changed then.
FOVEA_API void freeze(const std::vector<ParamEntry>& entries, const std::vector<std::string>& globs);

// Makes every parameter whose path matches one of the globs take part in weight decay, or takes it out. Throws Error as
// freeze does.
FOVEA_API void include_in_decay(const std::vector<ParamEntry>& entries, const std::vector<std::string>& globs);
FOVEA_API void exclude_from_decay(const std::vector<ParamEntry>& entries, const std::vector<std::string>& globs);

FOVEA_API bool glob_matches(std::string_view glob, std::string_view text);

// Number of trainable numbers.
FOVEA_API std::int64_t count_parameters(const std::vector<ParamEntry>& entries);

// Copies values by path, converting the element type. Throws Error naming the first entries that are missing or of
// another shape; nothing is changed then.
FOVEA_API void copy_parameters(const std::vector<ParamEntry>& from, const std::vector<ParamEntry>& to);

}  // namespace fovea::nn
