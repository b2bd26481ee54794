// How far a run is, for the person at the terminal.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

#include "fovea/core/export.h"
#include "fovea/train/meters.h"

namespace fovea::train {

struct ProgressState {
  std::int64_t step = 0, total = 0;
  double loss = 0, pairs_per_second = 0;
  double wait_ms = 0, step_ms = 0;  // means per step: waiting for data, and computing
  double eta_seconds = 0;           // NaN: the time left is not known yet
};

// "step 120/480  loss 3.214  412 pairs/s  wait 3 ms  step 610 ms  ETA 4:12 min"; without the ETA while it is not known.
FOVEA_API std::string progress_text(const ProgressState& state);

// The same behind a bar, within `width` columns; the text alone, cut to fit, where there is no room for a bar.
FOVEA_API std::string progress_bar(const ProgressState& state, int width);

// Shows steps as they are done: on a terminal one line that is written over, elsewhere (a file, a pipe) a plain line
// every `interval` seconds, the first and the last step.
class FOVEA_API Progress {
 public:
  explicit Progress(std::int64_t total, std::FILE* stream = stderr, double interval = 30);
  ~Progress();  // finishes
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // The state's total and ETA are filled in.
  void update(ProgressState state);
  void exclude(double seconds) { excluded_ += seconds; }  // time that was not spent on steps: not for the ETA
  void clear();                                           // takes the bar away, so that another message may be written
  void finish();                                          // shows the last step and leaves the line

 private:
  void show();

  std::FILE* stream_;
  bool on_terminal_;
  double interval_;  // seconds between two showings
  double shown_at_ = 0, excluded_ = 0;
  std::int64_t shown_step_ = -1;
  ProgressState state_;
  Eta eta_;
};

}  // namespace fovea::train
