// What a configuration trains on and scores. Private to the sources.
#pragma once

#include <memory>
#include <string>

#include "fovea/data/loader.h"
#include "fovea/train/config.h"

namespace fovea::train::detail {

// Whether the training data are shards, which come as a stream.
bool trains_on_stream(const DataConfig& config);

// `config` with the names of the splits to be scored.
Config with_split_names(Config config);

// One of the splits to be scored.
data::ImageTextDataset open_scored_split(const Config& config, const std::string& split);

// Throws what evaluation would find out when the training is over.
void check_scored_splits(const Config& config);

// A loader of the training data, whose options are complete.
std::unique_ptr<data::Loader> make_training_loader(const DataConfig& config, const image::TransformConfig& transform,
                                                   const data::TextEncoder& encoder,
                                                   const data::LoaderOptions& options);

}  // namespace fovea::train::detail
