#include "fovea/autograd/profiler.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <vector>

#include "autograd/node_names.h"
#include "autograd/profile_hook.h"
#include "core/recorder.h"
#include "fovea/autograd/checkpoint.h"
#include "fovea/core/parallel.h"

namespace fovea {

using kernels::Roofline;
using profile::Event;
using profile::Pass;
using profile::Recorder;

struct Profiler::State {
  explicit State(NodeNames names) : modules(std::move(names)) { std::sort(modules.begin(), modules.end()); }

  // Index of the module of the first input that has one, otherwise `otherwise`.
  template <class Inputs>
  int module_of(const Inputs& inputs, int otherwise) const {
    const auto* found = detail::name_among(modules, inputs);
    return found ? static_cast<int>(found - modules.data()) : otherwise;
  }
  std::string module(int index) const { return index < 0 ? "" : modules[static_cast<std::size_t>(index)].second; }

  NodeNames modules;
  std::unordered_map<std::uint64_t, int> module_of_node;  // by sequence number, until backward has passed
  int latest = -1;                                        // module
  Recorder recorder;
};

namespace {

thread_local Profiler* current_profiler = nullptr;

double size(const Shape& shape, DType dtype) {
  return static_cast<double>(shape.numel()) * static_cast<double>(size_of(dtype));
}

const char* to_string(Pass pass) {
  switch (pass) {
    case Pass::forward: return "forward";
    case Pass::recomputed: return "recomputed";
    case Pass::backward: return "backward";
    case Pass::none: break;
  }
  return "";
}

template <class... Values>
std::string format(const char* text, Values... values) {
  char line[256];
  std::snprintf(line, sizeof line, text, values...);
  return line;
}

// "layers.3.mlp" -> "layers.*.mlp"
std::string without_numbers(const std::string& path) {
  std::string result;
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('.', begin), path.size());
    const std::string part = path.substr(begin, end - begin);
    const bool number = !part.empty() && part.find_first_not_of("0123456789") == std::string::npos;
    result += (result.empty() ? "" : ".") + (number ? "*" : part);
    begin = end + 1;
  }
  return result;
}

// What several events have in common.
struct Total {
  double calls = 0, seconds = 0, backward_seconds = 0;  // backward: with what is computed again there
  double flops = 0, bytes = 0, least_seconds = 0;

  void add(const Event& e, const Roofline& roofline) {
    ++calls;
    seconds += e.whole ? e.seconds : e.self_seconds;
    if (e.pass == Pass::backward || e.pass == Pass::recomputed) backward_seconds += e.self_seconds;
    flops += e.flops;
    bytes += e.bytes;
    least_seconds += roofline.seconds(e.flops, e.bytes);
  }
  // GFLOP, GFLOP/s, MB, GB/s, percent of the roofline; what was not counted is left blank.
  std::string rates(double steps) const {
    const auto or_blank = [](double value, const char* text, int width) {
      return value > 0 ? format(text, width, value) : std::string(static_cast<std::size_t>(width), ' ');
    };
    return or_blank(flops * 1e-9 / steps, "%*.2f", 10) + or_blank(flops * 1e-9 / seconds, "%*.1f", 9) +
           or_blank(bytes * 1e-6 / steps, "%*.1f", 10) + or_blank(bytes * 1e-9 / seconds, "%*.1f", 8) +
           or_blank(100 * least_seconds / seconds, "%*.1f", 8);
  }
};

template <class Key>
std::vector<std::pair<Key, Total>> longest_first(const std::map<Key, Total>& totals) {
  std::vector<std::pair<Key, Total>> rows(totals.begin(), totals.end());
  std::stable_sort(rows.begin(), rows.end(),
                   [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });
  return rows;
}

using Operation = std::pair<std::string, Pass>;

std::string operation_table(const std::map<Operation, Total>& totals, double steps, double wall) {
  std::string text = format("%-22s %-10s %8s %10s %7s %9s %8s %9s %7s %7s\n", "operation", "pass", "calls", "ms", "%",
                            "GFLOP", "GFLOP/s", "MB", "GB/s", "roof %");
  for (const auto& [key, t] : longest_first(totals)) {
    text += format("%-22s %-10s %8.1f %10.3f %7.2f", key.first.c_str(), to_string(key.second), t.calls / steps,
                   1e3 * t.seconds / steps, 100 * t.seconds / wall) +
            (key.second == Pass::none && t.flops == 0 && t.bytes == 0 ? "" : t.rates(steps)) + "\n";
  }
  return text;
}

std::string module_table(const std::map<std::string, Total>& totals, double steps, double wall) {
  std::string text = format("%-66s %10s %11s %10s %7s %9s %8s %9s %7s %7s\n", "module", "forward ms", "backward ms",
                            "ms", "%", "GFLOP", "GFLOP/s", "MB", "GB/s", "roof %");
  for (const auto& [name, t] : longest_first(totals)) {
    text += format("%-66s %10.3f %11.3f %10.3f %7.2f", name.c_str(), 1e3 * (t.seconds - t.backward_seconds) / steps,
                   1e3 * t.backward_seconds / steps, 1e3 * t.seconds / steps, 100 * t.seconds / wall) +
            t.rates(steps) + "\n";
  }
  return text;
}

}  // namespace

Profiler::Profiler(NodeNames modules) : state_(std::make_unique<State>(std::move(modules))) { current_profiler = this; }
Profiler::~Profiler() { current_profiler = nullptr; }

std::string Profiler::report(const Roofline& roofline, std::int64_t steps) const {
  const Recorder& recorder = state_->recorder;
  std::map<Operation, Total> operations;
  std::map<std::string, Total> modules;
  double begin = 0, end = 0, in_operations = 0;
  for (const Event& e : recorder.events()) {
    if (end == 0) begin = e.start;
    begin = std::min(begin, e.start);
    end = std::max(end, e.start + e.seconds);
    if (e.hidden) continue;
    operations[{e.name, e.pass}].add(e, roofline);
    if (e.pass == Pass::none) continue;
    in_operations += e.self_seconds;
    modules[without_numbers(state_->module(e.module))].add(e, roofline);
  }
  const auto n = static_cast<double>(std::max<std::int64_t>(1, steps));
  const double wall = end > begin ? end - begin : 1;
  constexpr double mb = 1.0 / (1 << 20);
  return format("%lld steps: %.3f ms each, %.1f %% of it in operations\n", static_cast<long long>(steps),
                1e3 * wall / n, 100 * in_operations / wall) +
         format("%d threads: %.1f GFLOP/s of multiply-adds, %.1f GB/s of copying\n", num_threads(),
                roofline.flops * 1e-9, roofline.bytes * 1e-9) +
         format("memory of tensors: %.1f MB before, at most %.1f MB\n\n",
                static_cast<double>(recorder.live_at_start()) * mb, static_cast<double>(recorder.peak_bytes()) * mb) +
         operation_table(operations, n, wall) + "\n" + module_table(modules, n, wall);
}

std::string Profiler::trace_json() const {
  using Json = nlohmann::ordered_json;
  Json events = Json::array();
  events.push_back({{"name", "process_name"}, {"ph", "M"}, {"pid", 1}, {"tid", 1}, {"args", {{"name", "fovea"}}}});
  for (const Event& e : state_->recorder.events()) {
    constexpr double us = 1e6;
    Json args = Json::object();
    if (const std::string module = state_->module(e.module); !module.empty()) args["module"] = module;
    if (e.flops > 0) args["flops"] = e.flops;
    if (e.bytes > 0) args["bytes"] = e.bytes;
    events.push_back({{"name", e.name},
                      {"cat", e.pass == Pass::none ? "span" : to_string(e.pass)},
                      {"ph", "X"},
                      {"pid", 1},
                      {"tid", 1},
                      {"ts", us * e.start},
                      {"dur", us * e.seconds},
                      {"args", args}});
    events.push_back({{"name", "memory of tensors"},
                      {"ph", "C"},
                      {"pid", 1},
                      {"tid", 1},
                      {"ts", us * (e.start + e.seconds)},
                      {"args", {{"bytes", e.live_bytes}}}});
  }
  return Json{{"traceEvents", events}, {"displayTimeUnit", "ms"}}.dump();
}

bool ProfileHook::on() { return current_profiler != nullptr; }

void ProfileHook::recorded(const char* op, const Var& y, std::span<const Var> inputs) {
  Profiler::State& state = *current_profiler->state_;
  state.latest = state.module_of(inputs, state.latest);
  if (y.node()) state.module_of_node[y.node()->sequence] = state.latest;
  double bytes = size(y.shape(), y.dtype());
  for (const Var& input : inputs) {
    if (input.defined()) bytes += size(input.shape(), input.dtype());
    if (input.defined() && input.value().shares_storage(y.value())) bytes -= 2 * size(y.shape(), y.dtype());
  }
  state.recorder.add(op, recomputing() ? Pass::recomputed : Pass::forward, state.latest, std::max(bytes, 0.0));
}

void ProfileHook::Backward::open(const Node& node) {
  Profiler::State& state = *current_profiler->state_;
  int module = -1;
  if (const auto found = state.module_of_node.find(node.sequence); found != state.module_of_node.end()) {
    module = found->second;
    state.module_of_node.erase(found);
  }
  state.recorder.open(node.name, Pass::backward, module);
}

// A gradient that is handed on as it is costs nothing.
void ProfileHook::Backward::count(const Node& node, const Tensor& dy) {
  for (const auto& input : node.inputs) {
    if (input && !input->grad.shares_storage(dy)) bytes_ += 2 * size(input->shape, input->dtype);
  }
  if (bytes_ > 0) bytes_ += size(dy.shape(), dy.dtype());
}

void ProfileHook::Backward::close() const { current_profiler->state_->recorder.close(bytes_); }

}  // namespace fovea
