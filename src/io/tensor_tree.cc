#include "fovea/io/tensor_tree.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>

#include "io/json_fields.h"

namespace fovea::io {
namespace {

// "2" before "10", other names by their letters.
struct ByNumber {
  static long number(const std::string& name) {
    long value = -1;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), value);
    return error == std::errc() && end == name.data() + name.size() ? value : -1;
  }
  bool operator()(const std::string& a, const std::string& b) const {
    const long left = number(a), right = number(b);
    return left != right ? left < right : a < b;
  }
};

struct Node {
  std::int64_t elements = 0, bytes = 0, tensors = 0;
  const Tensor* tensor = nullptr;
  std::map<std::string, std::unique_ptr<Node>, ByNumber> children;

  void count(const Tensor& added) {
    elements += added.numel();
    bytes += added.bytes();
    ++tensors;
  }
};

std::unique_ptr<Node> make_tree(const TensorMap& tensors) {
  auto root = std::make_unique<Node>();
  for (const auto& [name, tensor] : tensors) {
    Node* node = root.get();
    node->count(tensor);
    for (std::size_t begin = 0; begin <= name.size();) {
      const std::size_t end = std::min(name.find('.', begin), name.size());
      std::unique_ptr<Node>& child = node->children[name.substr(begin, end - begin)];
      if (!child) child = std::make_unique<Node>();
      node = child.get();
      node->count(tensor);
      begin = end + 1;
    }
    node->tensor = &tensor;
  }
  return root;
}

std::string grouped(std::int64_t count) {
  std::string digits = std::to_string(count);
  for (std::size_t i = digits.size(); i > 3;) digits.insert(i -= 3, 1, ',');
  return digits;
}

std::string size_text(std::int64_t bytes) {
  if (bytes < 1000) return concat(bytes, " B");
  double value = static_cast<double>(bytes);
  const char* unit = "B";
  for (const char* larger : {"kB", "MB", "GB", "TB"}) {
    if (value < 999.95) break;
    value /= 1000;
    unit = larger;
  }
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %s", value, unit);
  return text;
}

void append_line(std::string& out, const std::string& name, const Node& node, int level, int depth) {
  char figures[64];
  std::snprintf(figures, sizeof figures, "%15s %10s  ", grouped(node.elements).c_str(), size_text(node.bytes).c_str());
  out += figures + std::string(static_cast<std::size_t>(2 * level), ' ') + name;
  if (node.tensor != nullptr) out += concat("  ", node.tensor->dtype(), " ", node.tensor->shape());
  if (level == depth && !node.children.empty()) out += concat("  (", node.tensors, " tensors)");
  out += "\n";
  if (level == depth) return;
  for (const auto& [child_name, child] : node.children) {
    const Node* shown = child.get();
    std::string path = child_name;
    while (shown->children.size() == 1 && shown->tensor == nullptr) {  // one line for "fc1.weight"
      path += "." + shown->children.begin()->first;
      shown = shown->children.begin()->second.get();
    }
    append_line(out, path, *shown, level + 1, depth);
  }
}

nlohmann::ordered_json as_json(const Node& node, int levels) {
  nlohmann::ordered_json json{{"elements", node.elements}, {"bytes", node.bytes}};
  if (node.tensor != nullptr) {
    json["dtype"] = to_string(node.tensor->dtype());
    json["shape"] = std::vector<std::int64_t>(node.tensor->shape().begin(), node.tensor->shape().end());
  }
  if (levels == 0) return json;
  for (const auto& [name, child] : node.children) json["children"][name] = as_json(*child, levels - 1);
  return json;
}

void check_depth(int depth) { FOVEA_CHECK(depth >= 0, "[tree] depth is ", depth, ", expected at least 0"); }

}  // namespace

std::string tensor_tree(const TensorMap& tensors, int depth) {
  check_depth(depth);
  char heading[64];
  std::snprintf(heading, sizeof heading, "%15s %10s\n", "elements", "bytes");
  std::string out = heading;
  append_line(out, "(whole)", *make_tree(tensors), 0, depth);
  return out;
}

std::string tensor_tree_json(const TensorMap& tensors, int depth) {
  check_depth(depth);
  return detail::to_text(as_json(*make_tree(tensors), depth));
}

}  // namespace fovea::io
