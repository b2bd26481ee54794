// Training CLIP on pairs of pictures and captions.
#pragma once

#include <memory>
#include <optional>

#include "fovea/data/feature_cache.h"
#include "fovea/models/clip_folder.h"
#include "fovea/objectives/any_objective.h"
#include "fovea/train/config.h"
#include "fovea/train/task.h"

namespace fovea::train {

// The objective that a configuration names; none for bag_of_words, which is no feature objective. Throws Error when
// there is no such objective, or a key is set that it does not have.
FOVEA_API std::optional<objectives::AnyFeatureObjective> make_objective(const ObjectiveConfig& config);

// The folder that `config.model` names, whatever the working folder will be; empty when it names a preset or describes
// a model. Throws Error when it can only be a folder and is none.
FOVEA_API std::string model_folder(const Config& config);

// The model that the configuration means: the folder's, or the description with the image tower of train.image_from.
FOVEA_API models::ClipConfig model_config(const Config& config);

// Freezes what the configuration locks and freezes.
FOVEA_API void freeze_as_configured(const TrainConfig& config, models::ClipModel& model);

// A CLIP, its data set and its scores.
class FOVEA_API ClipTask final : public Task {
 public:
  // Builds the model with the configuration's seed, or loads it when `config.model` names a model folder, whose
  // tokenizer and transform are used then unless the configuration says otherwise. Freezes what the configuration
  // freezes, and opens the training split. Throws Error when model, data and transforms do not fit together, and when a
  // split to be scored later does not exist. A table without splits (an empty data.split_column) is trained on and
  // scored as a whole, under the training split's name.
  // With several ranks, each loads its share of the batches.
  explicit ClipTask(const Config& config) : ClipTask(config, make_objective(config.objective)) {}
  // Without an objective, the pictures predict the words of their captions (objectives/bag_of_words.h).
  ClipTask(const Config& config, std::optional<objectives::AnyFeatureObjective> objective,
                    dist::Group& group = dist::world());

  const models::ClipModel& model() const { return clip_.model; }

  Config resolved(const Config& config) const override;
  const std::vector<nn::ParamEntry>& parameters() const override { return parameters_; }
  data::Loader& loader() override { return *loader_; }
  dist::Group& group() const override { return group_; }
  objectives::Loss loss(const data::Batch& batch, const nn::Ctx& ctx) override;
  objectives::Loss backward(std::span<const data::Batch> micro_batches, const nn::Ctx& ctx) override;
  double expected_first_loss(std::int64_t samples) const override;
  void after_step() override;
  Figures figures() const override;
  Facts facts() const override;
  SplitScores evaluate(const std::string& split) override;
  eval::RetrievalExamples examples() const override { return examples_; }  // of the largest split
  void save(const std::string& folder) const override;

 private:
  objectives::Embeddings embed(const data::Batch& batch, const nn::Ctx& ctx) const;
  data::Batch with_features(const data::Batch& batch, const nn::Ctx& ctx);
  objectives::Loss predict_words(const data::Batch& batch, const nn::Ctx& ctx) const;
  void set_rates(const Config& config);

  Config config_;
  dist::Group& group_;
  bool weights_loaded_;
  models::ClipFolder clip_;
  std::vector<nn::ParamEntry> parameters_;
  std::optional<objectives::AnyFeatureObjective> objective_;
  std::unique_ptr<data::TextEncoder> encoder_;
  std::unique_ptr<data::FeatureCache> features_;  // of the frozen image tower, when the configuration names a folder
  Hash128 tower_hash_;
  bool features_checked_ = false;  // that the weights are still those of tower_hash_
  std::unique_ptr<data::Loader> loader_;
  eval::RetrievalExamples examples_;
};

}  // namespace fovea::train
