// What training will need, found out before it starts.
#pragma once

#include <cstdint>
#include <string>

#include "fovea/core/export.h"
#include "fovea/data/batch.h"
#include "fovea/dist/mpi.h"
#include "fovea/models/clip.h"
#include "fovea/train/config.h"

namespace fovea::train {

// What a plan is about, besides a configuration.
struct PlanOptions {
  std::int64_t caption_tokens = 0;  // of each caption, with start and end; 0: they fill the model's context
  bool image_tower_alone = false;   // the image tower, whose loss is the mean of its squared features
  bool every_token = false;         // last blocks compute tokens that nothing reads too
  bool trainer = true;              // with a trainer's loader, and the gradient's norm
  bool time = true;                 // measured as well
};

// Bytes and seconds of one training step, and what they are made of.
struct Plan {
  std::int64_t parameters = 0, trained = 0;  // numbers; trained: not frozen
  std::int64_t micro_batch = 0, accum_freq = 1;
  bool checkpointing = false;
  double process_bytes = 0;   // the program itself
  double weight_bytes = 0;    // parameters, buffers, averages
  double gradient_bytes = 0;  // of what is trained, like the moments
  double moment_bytes = 0;
  double fixed_bytes = 0;   // the kernels' buffers, and what else does not grow with the batch
  double pair_bytes = 0;    // activations and their gradients, for each pair of a micro-batch
  double loss_bytes = 0;    // with several micro-batches: features of all of them, and the loss over them
  double input_bytes = 0;   // batches, those made ahead too
  double pass_seconds = 0;  // forward and backward over all micro-batches; 0 when time was not measured
  double optimizer_seconds = 0;

  std::int64_t pairs() const { return micro_batch * accum_freq; }
  double activation_bytes() const { return fixed_bytes + pair_bytes * static_cast<double>(micro_batch) + loss_bytes; }
  double peak_bytes() const {
    return process_bytes + weight_bytes + gradient_bytes + moment_bytes + activation_bytes() + input_bytes;
  }
  double step_seconds() const { return pass_seconds + optimizer_seconds; }
};

// Builds the configuration's model with weights that stay untouched memory and gradients that share one place, takes
// forward and backward passes over small random batches, and extends resident memory and time along a line to the
// configured batch: so it needs the activations of a few pairs, the largest parameter, and a few seconds. No data is
// opened. Throws Error when the model is not one, and when an option does not fit it.
FOVEA_API Plan make_plan(const Config& config, const PlanOptions& options = {});

// The plan as a table.
FOVEA_API std::string to_text(const Plan& plan);

// The configuration with micro-batches and activation checkpoints that keep the process within train.max_memory, and
// what was chosen and why. A step has as many pairs as before, and the same gradients: micro-batches go through the
// gradient cache. Tried in turn: the configuration as it is; activation checkpoints; 2, 3, 4, ... micro-batches of at
// least 8 pairs, then with checkpoints, then smaller ones. The batches of evaluation become no larger than a
// micro-batch, the cache of decoded pictures gets what is left. Throws Error when not even single pairs fit. When
// `started`, the configuration of a run that goes on, was fitted to the same limit, its choice is taken over. The limit
// is one for each of the group's ranks, which share the batches; rank 0 chooses for all.
struct Fitted {
  Config config;
  std::string explanation;
};
FOVEA_API Fitted fit_memory(const Config& config, const Config* started = nullptr, dist::Group& group = dist::world());

// A batch of noise: captions of `length` tokens, start and end included.
FOVEA_API data::Batch random_batch(const models::ClipConfig& model, std::int64_t pairs, std::int64_t length,
                                   std::uint64_t seed);

// The bytes that "12G", "800M", "64K" or "1000000" stand for, in powers of 1024. Throws Error for anything else.
FOVEA_API std::int64_t parse_bytes(const std::string& text);
FOVEA_API std::string format_bytes(double bytes);  // "11.3 GB", "240 MB"

}  // namespace fovea::train
