// Points of a run from which it can go on.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fovea/io/safetensors.h"
#include "fovea/nn/visit.h"

namespace fovea::train {

// Where a run stands, besides its tensors. Random numbers need no state: they follow from seed, epoch and sample.
struct TrainState {
  std::int64_t step = 0, total_steps = 0;            // training steps done and planned
  std::int64_t optimizer_steps = 0;                  // updates: steps without the skipped ones
  std::int64_t skipped_steps = 0, bad_in_a_row = 0;  // steps whose loss or gradient was not finite
  std::int64_t epoch = 0, batch = 0;                 // the loader's position: the next batch
  std::vector<std::int64_t> stream;                  // of each rank's stream: shard, sample, delivered
  std::int64_t samples = 0;                          // of the training split
  double training_seconds = 0, evaluation_seconds = 0, saving_seconds = 0;
  std::vector<double> meters;  // sums since the last line of the log
};

struct Checkpoint {
  std::string folder;  // where it was read from
  TrainState state;
  io::TensorMap optimizer;  // "exp_avg.<name>", "ema.<name>", ..., in the files' layout
};

// The folder checkpoints/ of a run: step-N/{model.safetensors, state.safetensors, state.json}, and `last`, a file with
// the newest one's name. A checkpoint is written beside, flushed to the disk and renamed, so that one with its final
// name is whole whenever the process or the machine stops.
class FOVEA_API Checkpoints {
 public:
  explicit Checkpoints(std::string folder) : folder_(std::move(folder)) {}

  // Writes step-N and returns its folder. Older ones are removed once it is on the disk, down to `keep`. Throws Error
  // naming the file when something cannot be written: what was there before is untouched then, and nothing is left
  // over.
  std::string save(const TrainState& state, const std::vector<nn::ParamEntry>& model, const io::TensorMap& optimizer,
                   std::int64_t keep) const;

  // The newest one that is whole; a damaged one is named in a warning and the one before is tried. None when there is
  // no checkpoint at all. Throws Error when every one is damaged.
  std::optional<Checkpoint> load_last() const;

  // Makes an earlier checkpoint the one that load_last starts from.
  void set_last(std::int64_t step) const;

  // Throws Error naming the file that is missing or damaged. The model's tensors stay in `folder`/model.safetensors.
  static Checkpoint load(const std::string& folder);

 private:
  std::vector<std::int64_t> steps() const;  // ascending
  std::string folder_of(std::int64_t step) const;
  void remove_leftovers() const;

  std::string folder_;
};

// The run folder that a checkpoint's folder belongs to.
FOVEA_API std::string run_folder_of(const std::string& checkpoint);

}  // namespace fovea::train
