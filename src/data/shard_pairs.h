// Webdataset shards as a list of pairs, and the shards that are left of them. Private to the sources.
#pragma once

#include <string>

#include "fovea/data/curate.h"

namespace fovea::data::detail {

// curate() of shards: options.inputs are sources of shards (shard_list.h), options.output is the folder for a shard of
// the same name for each of them.
CurateReport curate_shards(const CurateOptions& options);

}  // namespace fovea::data::detail
