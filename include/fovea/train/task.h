// What one family of models supplies to the Trainer.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "fovea/data/loader.h"
#include "fovea/dist/mpi.h"
#include "fovea/nn/ctx.h"
#include "fovea/nn/visit.h"
#include "fovea/objectives/loss.h"
#include "fovea/train/config.h"
#include "fovea/train/metrics_log.h"
#include "fovea/train/report.h"

namespace fovea::train {

// What a configuration says about element types, whether activations are saved in bf16 (SaveInBf16), and about the
// context of the training passes of one step.
FOVEA_API DType training_dtype(const TrainConfig& config);
FOVEA_API bool saves_in_bf16(const TrainConfig& config);
FOVEA_API nn::Ctx training_context(const TrainConfig& config, std::int64_t step);

// A model with its objective, its data's meaning and its evaluation, behind one interface, so that the training loop is
// compiled once.
class FOVEA_API Task {
 public:
  virtual ~Task();

  // `config` with everything it leaves to the task filled in (a preset's name becomes a description), so that it
  // repeats the run even when presets or defaults have changed. The run folder keeps it.
  virtual Config resolved(const Config& config) const { return config; }

  virtual const std::vector<nn::ParamEntry>& parameters() const = 0;
  virtual data::Loader& loader() = 0;  // of the training split; with several ranks, this one's share
  // The ranks that train together.
  virtual dist::Group& group() const { return dist::world(); }

  // The loss of one batch, as the loader delivers it.
  virtual objectives::Loss loss(const data::Batch& batch, const nn::Ctx& ctx) = 0;

  // The loss of one step over its micro-batches, off the tape, with its gradients added to the parameters'. By default
  // the mean of the micro-batches' losses; a task whose loss compares the samples of a batch with each other makes it
  // that of the whole. With several ranks each passes its share of the batches; losses and gradients are means over
  // ranks afterwards.
  virtual objectives::Loss backward(std::span<const data::Batch> micro_batches, const nn::Ctx& ctx);

  // What the loss of an untrained model should be near, for steps of so many samples; NaN when that is not known.
  virtual double expected_first_loss(std::int64_t samples) const;

  // Called after every optimiser step: clamps and the like.
  virtual void after_step() {}

  // Named figures that every logged line carries besides the loss ("logit_scale").
  virtual Figures figures() const { return {}; }

  // What the report says about the model: its size, for one.
  virtual Facts facts() const { return {}; }

  // Scores of one split.
  virtual SplitScores evaluate(const std::string& split) = 0;

  // Queries with what was found for them when a split was last scored, for the report.
  virtual eval::RetrievalExamples examples() const { return {}; }

  // Writes a model folder.
  virtual void save(const std::string& folder) const = 0;
};

}  // namespace fovea::train
