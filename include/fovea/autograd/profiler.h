// Where the time of a computation goes, by operation and by module.
#pragma once

#include <memory>
#include <string>

#include "fovea/autograd/node.h"
#include "fovea/kernels/roofline.h"

namespace fovea {

// While one lives, every operation on this thread is timed, forward and backward, with the spans around it
// (core/profile.h). An operation's time begins when the one before it has ended; its bytes are those of its inputs and
// its result, and in backward of the result's gradient, the inputs and their gradients; operations are those of matrix
// products, convolutions and attention in f32, two per multiply-add. Without one nothing is recorded.
class FOVEA_API Profiler {
 public:
  // `modules` names the module that reads a leaf of the tape (nn::module_names). An operation without parameters counts
  // to the module that was seen last.
  explicit Profiler(NodeNames modules = {});
  ~Profiler();
  Profiler(const Profiler&) = delete;
  Profiler& operator=(const Profiler&) = delete;

  // Tables of operations and of modules, longest first, each figure for one of `steps`. Modules whose paths differ in
  // numbers alone ("layers.0", "layers.1") are one row.
  std::string report(const kernels::Roofline& roofline, std::int64_t steps) const;

  // The events, for chrome://tracing or ui.perfetto.dev: complete events in microseconds, and the memory in use.
  std::string trace_json() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
  friend struct ProfileHook;
};

}  // namespace fovea
