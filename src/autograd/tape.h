// What this thread knows about recording.
#pragma once

#include "fovea/autograd/var.h"

namespace fovea::detail {

struct TapeState {
  bool recording = true;
  bool recomputing = false;
  bool saving_in_bf16 = false;
  bool skipped = false;  // an operation with an input that requires a gradient was not recorded
};
TapeState& tape_state();

// As record(), whether or not an input requires a gradient.
Var record_always(const char* name, Tensor y, std::span<const Var> inputs, BackwardFn backward);

// Sets one member of the state, and restores it.
class TapeScope {
 public:
  TapeScope(bool TapeState::*member, bool value) : member_(member), previous_(tape_state().*member) {
    tape_state().*member_ = value;
  }
  ~TapeScope() { tape_state().*member_ = previous_; }
  TapeScope(const TapeScope&) = delete;
  TapeScope& operator=(const TapeScope&) = delete;

 private:
  bool TapeState::*member_;
  bool previous_;
};

}  // namespace fovea::detail
