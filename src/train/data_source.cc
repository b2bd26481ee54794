#include "train/data_source.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "fovea/core/error.h"
#include "fovea/core/log.h"

namespace fovea::train::detail {
namespace {

data::DatasetType training_type(const DataConfig& config) {
  const data::DatasetType type = data::parse_dataset_type(config.dataset_type);
  return type == data::DatasetType::automatic ? data::detect_dataset_type(config.path) : type;
}

// Everything but path, type and split.
data::DatasetOptions columns(const DataConfig& config) {
  data::DatasetOptions options;
  options.image_column = config.image_column;
  options.split_column = config.split_column;
  options.table.separator = data::parse_separator(config.separator);
  options.language_column = config.language_column;
  options.join = config.join;
  options.join_column = config.join_column;
  options.text_columns.clear();
  const auto holds = [](const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  for (const std::string& name : config.list_columns) {
    FOVEA_CHECK(holds(config.caption_columns, name), "[train] data.list_columns names \"", name,
                "\", expected one of data.caption_columns");
  }
  FOVEA_CHECK(config.join.empty() == config.join_column.empty(),
              "[train] data.join and data.join_column belong together: a second table, and the column that both have");
  for (const std::string& name : config.caption_columns)
    options.text_columns.push_back({name, 1, holds(config.list_columns, name) ? ", " : ""});
  return options;
}

data::DatasetOptions training_options(const DataConfig& config) {
  data::DatasetOptions options = columns(config);
  options.type = training_type(config);
  options.image_root = config.image_root;
  options.every_text = config.every_caption;
  if (!config.split_column.empty()) options.split = config.train_split;
  return options;
}

// The data set that is scored: eval.path, or the training data.
struct Scored {
  std::string path;
  data::DatasetOptions options;
};

Scored scored(const Config& config) {
  if (config.eval.path.empty()) {
    data::DatasetOptions options = training_options(config.data);
    options.every_text = false;
    return {config.data.path, options};
  }
  data::DatasetOptions options = columns(config.data);
  options.type = data::detect_dataset_type(config.eval.path);
  options.image_root = config.eval.image_root;
  return {config.eval.path, options};
}

// Its splits; one name for the whole where there are none.
std::vector<std::string> known_splits(const Config& config) {
  const Scored data = scored(config);
  std::vector<std::string> names;
  if (!data.options.split_column.empty())
    names = data::split_names(data.path, data.options.split_column, data.options.table, data.options.type);
  if (names.empty()) names.push_back(config.eval.path.empty() ? config.data.train_split : "val");
  return names;
}

bool has_splits(const Config& config) {
  const Scored data = scored(config);
  const bool type_has = data.options.type == data::DatasetType::csv || data.options.type == data::DatasetType::folder;
  return type_has && !data.options.split_column.empty();
}

// Pictures inside archives are found with the archive.
bool may_exist(const std::string& picture) {
  std::error_code unknown;
  return picture.find('#') != std::string::npos || std::filesystem::exists(picture, unknown);
}

}  // namespace

bool trains_on_stream(const DataConfig& config) { return training_type(config) == data::DatasetType::webdataset; }

Config with_split_names(Config config) {
  std::vector<std::string>& splits = config.eval.splits;
  if (splits == std::vector<std::string>{"all"}) {
    splits = known_splits(config);
    if (splits.size() > 1) std::erase(splits, config.data.train_split);
    // Shards without end are not read once more to be scored.
    if (config.eval.path.empty() && trains_on_stream(config.data)) splits.clear();
  }
  if (has_splits(config) || splits.empty()) return config;
  const std::string whole = known_splits(config).front();
  for (const std::string& split : splits) {
    FOVEA_CHECK(split == whole, "[train] eval.splits names \"", split, "\", but ",
                config.data.split_column.empty() ? "data.split_column is empty: the table has no splits"
                                                 : "the data have no splits",
                "\nhint: leave eval.splits out");
  }
  return config;
}

data::ImageTextDataset open_scored_split(const Config& config, const std::string& split) {
  Scored data = scored(config);
  data.options.split = has_splits(config) ? split : "";
  data.options.text_columns.resize(1);  // what evaluation asks for
  return {data.path, data.options};
}

void check_scored_splits(const Config& config) {
  for (const std::string& split : config.eval.splits) {
    const data::ImageTextDataset dataset = open_scored_split(config, split);
    bool any = false;
    for (std::int64_t i = 0; i < dataset.size() && !any; ++i) any = may_exist(dataset[i].image_path);
    FOVEA_CHECK(any, "[train] none of the ", dataset.size(), " pictures of split \"", split, "\" exists, the first is ",
                dataset[0].image_path, "\nhint: picture paths start from the table's folder");
  }
}

std::unique_ptr<data::Loader> make_training_loader(const DataConfig& config, const image::TransformConfig& transform,
                                                   const data::TextEncoder& encoder,
                                                   const data::LoaderOptions& options) {
  data::DatasetOptions dataset = training_options(config);
  if (!trains_on_stream(config)) {
    FOVEA_CHECK(config.num_samples == 0 && !config.resampled && config.upsampling_factors.empty(),
                "[train] data.num_samples, data.resampled and data.upsampling_factors belong to webdataset shards, ",
                config.path, " is none\nhint: --dataset-type webdataset");
    return std::make_unique<data::Loader>(data::ImageTextDataset(config.path, dataset), transform, &encoder, options);
  }
  dataset.split.clear();
  data::StreamOptions stream;
  stream.factors = config.upsampling_factors;
  stream.resampled = config.resampled;
  stream.shuffle_buffer = config.shuffle_buffer;
  stream.samples = config.num_samples;
  return std::make_unique<data::Loader>(
      data::ShardStream(config.path, dataset, stream, options.seed, options.rank, options.ranks), transform, &encoder,
      options);
}

}  // namespace fovea::train::detail
