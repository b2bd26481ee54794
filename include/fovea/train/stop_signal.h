// Ctrl-C and `kill` as a wish to stop, not an end.
#pragma once

#include "fovea/core/export.h"

namespace fovea::train {

// While one lives, the first SIGINT, SIGTERM or SIGUSR1 (which mpirun and Slurm pass on to their processes) only sets
// stop_requested(), so that a run can finish its step and save; the second one ends the process at once. For programs:
// the library itself installs no handlers.
class FOVEA_API StopOnSignals {
 public:
  StopOnSignals();
  ~StopOnSignals();  // the former handlers, and no request
  StopOnSignals(const StopOnSignals&) = delete;
  StopOnSignals& operator=(const StopOnSignals&) = delete;
};

FOVEA_API bool stop_requested();
FOVEA_API void request_stop();  // as a signal does

}  // namespace fovea::train
