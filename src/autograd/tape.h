// What this thread knows about recording.
#pragma once

#include "fovea/autograd/gradient_watch.h"

namespace fovea::detail {

struct TapeState {
  bool recording = true;
  bool recomputing = false;
  bool saving_in_bf16 = false;
  bool skipped = false;  // an operation with an input that requires a gradient was not recorded
  std::vector<std::shared_ptr<Node>>* used_leaves = nullptr;  // receives the leaves of such operations, when not null
  GradientWatch* watch = nullptr;
};
TapeState& tape_state();

// As record(), whether or not an input requires a gradient.
Var record_always(const char* name, Tensor y, std::span<const Var> inputs, BackwardFn backward);

// Sets one member of the state, and restores it.
template <class T>
class TapeScope {
 public:
  TapeScope(T TapeState::*member, T value) : member_(member), previous_(tape_state().*member) {
    tape_state().*member_ = value;
  }
  ~TapeScope() { tape_state().*member_ = previous_; }
  TapeScope(const TapeScope&) = delete;
  TapeScope& operator=(const TapeScope&) = delete;

 private:
  T TapeState::*member_;
  T previous_;
};

}  // namespace fovea::detail
