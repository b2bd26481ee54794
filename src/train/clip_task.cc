#include "fovea/train/clip_task.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "fovea/eval/clip_retrieval.h"
#include "fovea/models/clip_folder.h"
#include "fovea/models/presets.h"
#include "fovea/objectives/info_nce.h"

namespace fovea::train {
namespace {

// Captions to tokens, as the loader asks for them.
class CaptionEncoder final : public data::TextEncoder {
 public:
  CaptionEncoder(const text::Tokenizer& tokenizer, std::int64_t context) : tokenizer_(tokenizer), context_(context) {}
  std::vector<std::int32_t> encode(std::string_view caption) const override {
    return tokenizer_.encode(caption, context_);
  }

 private:
  const text::Tokenizer& tokenizer_;
  std::int64_t context_;
};

data::ImageTextDataset open_split(const DataConfig& config, const std::string& split) {
  data::DatasetOptions options;
  options.image_column = config.image_column;
  options.split_column = config.split_column;
  options.table.separator = data::parse_separator(config.separator);
  if (!config.split_column.empty()) options.split = split;
  options.text_columns.clear();
  const auto holds = [](const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  for (const std::string& name : config.list_columns) {
    FOVEA_CHECK(holds(config.caption_columns, name), "[train] data.list_columns names \"", name,
                "\", expected one of data.caption_columns");
  }
  for (const std::string& name : config.caption_columns)
    options.text_columns.push_back({name, 1, holds(config.list_columns, name) ? ", " : ""});
  return {config.path, options};
}

// `config` with the names of the splits to be scored.
Config with_split_names(Config config) {
  const DataConfig& data = config.data;
  std::vector<std::string>& splits = config.eval.splits;
  if (splits == std::vector<std::string>{"all"}) {
    splits = data.split_column.empty() ? std::vector{data.train_split}
                                       : data::split_names(data.path, data.split_column,
                                                           {.separator = data::parse_separator(data.separator)});
    if (splits.size() > 1) std::erase(splits, data.train_split);
  }
  for (const std::string& split : splits) {
    FOVEA_CHECK(!data.split_column.empty() || split == data.train_split, "[train] eval.splits names \"", split,
                "\", but data.split_column is empty: the table has no splits\nhint: leave eval.splits out");
  }
  return config;
}

// What evaluation would find out when the training is over.
void check_split(const data::ImageTextDataset& dataset, const std::string& split) {
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    if (std::error_code unknown; std::filesystem::exists(dataset[i].image_path, unknown)) return;
  }
  fail("[train] none of the ", dataset.size(), " pictures of split \"", split, "\" exists, the first is ",
       dataset[0].image_path, "\nhint: picture paths start from the table's folder");
}

DType precision(const TrainConfig& config) {
  FOVEA_CHECK(config.precision != "bf16" && config.precision != "amp_bf16", "[train] train.precision ",
              config.precision, " is not supported yet, expected f32 or f64");
  return config.precision == "f64" ? DType::f64 : DType::f32;
}

models::ClipModel build_model(const Config& config, const text::Tokenizer& tokenizer) {
  const models::ClipConfig model = models::parse_clip_config(config.model);
  FOVEA_CHECK(tokenizer.vocabulary_size() <= models::TextTower::vocabulary(model.text), "[train] the tokenizer has ",
              tokenizer.vocabulary_size(), " entries, the model's text tower knows ",
              models::TextTower::vocabulary(model.text), "\nhint: set model.text.vocabulary");
  nn::Init init(config.train.seed, precision(config.train));
  return models::ClipModel(model, init);
}

image::TransformConfig model_transform(const Config& config, const models::ClipModel& model) {
  const std::int64_t size = models::ImageTower::image_size(model.config.image);
  image::TransformConfig transform;
  transform.size = static_cast<int>(size);
  transform = image::parse_transform_config(config.data.transform, transform, "data.transform");
  FOVEA_CHECK(transform.size == size, "[train] data.transform.size is ", transform.size,
              ", the model expects pictures of ", size, " pixels");
  return transform;
}

std::string giga(double flops) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g GFLOP", flops * 1e-9);
  return text;
}

}  // namespace

objectives::AnyFeatureObjective make_objective(const ObjectiveConfig& config) {
  FOVEA_CHECK(config.name == "info_nce", "[train] no objective is called \"", config.name, "\", expected info_nce");
  return objectives::InfoNce{config.label_smoothing};
}

ClipTask::ClipTask(const Config& config, objectives::AnyFeatureObjective objective)
    : config_(with_split_names(config)),
      tokenizer_(text::default_tokenizer()),
      model_(build_model(config, tokenizer_)),
      transform_(model_transform(config, model_)),
      parameters_(nn::collect(model_)),
      objective_(std::move(objective)),
      encoder_(std::make_unique<CaptionEncoder>(tokenizer_, models::TextTower::context(model_.config.text))) {
  nn::name_parameters(parameters_);
  data::LoaderOptions options;
  options.batch_size = config.data.batch_size;
  options.workers = static_cast<int>(config.data.workers);
  options.max_pixels = config.data.max_pixels;
  options.word_dropout = config.data.word_dropout;
  options.seed = config.train.seed;
  loader_ = std::make_unique<data::Loader>(open_split(config.data, config.data.train_split), transform_, encoder_.get(),
                                           options);
  for (const std::string& split : config_.eval.splits) check_split(open_split(config.data, split), split);
}

Config ClipTask::resolved(const Config& config) const {
  Config full = config;
  full.model = models::to_json(model_.config);
  full.data.transform = image::to_json(transform_);
  full.eval.splits = config_.eval.splits;
  return full;
}

objectives::Loss ClipTask::loss(const data::Batch& batch, const nn::Ctx& ctx) {
  data::Batch converted = batch;
  converted.images = batch.images.to(model_.logit_scale.value().dtype());
  return objective_(model_.embed(converted, ctx), ctx);
}

Figures ClipTask::figures() const { return {{"logit_scale", std::exp(model_.logit_scale.value().item())}}; }

Facts ClipTask::facts() const {
  const models::ModelSize size = models::model_size(model_.config, 8);
  return {{"Parameters", format_count(size.parameters)},
          {"Forward pass of one picture", giga(size.image_flops)},
          {"Forward pass of one caption of 8 tokens", giga(size.text_flops)}};
}

SplitScores ClipTask::evaluate(const std::string& split) {
  const eval::EmbeddedPairs pairs = eval::embed_pairs({model_, tokenizer_, transform_, config_.eval.batch_size},
                                                      open_split(config_.data, split), config_.data.max_pixels);
  const eval::Retrieval scores = eval::retrieval(pairs.images, pairs.texts, pairs.matches);
  if (split == examples_.split || pairs.paths.size() > examples_.pictures.size()) {
    examples_ = eval::retrieval_examples(pairs);
    examples_.split = split;
  }
  return {split, scores.i2t, scores.t2i};
}

void ClipTask::save(const std::string& folder) const { models::save_clip(folder, model_, tokenizer_, transform_); }

}  // namespace fovea::train
