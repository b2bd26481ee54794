// A run on one page.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "fovea/core/export.h"

namespace fovea::train {

using Facts = std::vector<std::pair<std::string, std::string>>;  // label and value: "Parameters", "4,120,321"

// Writes `run_folder`/report.html: the facts, the loss over the steps, the latest scores of every split in both
// directions, and the configuration. One file without scripts or references to others. Reads metrics.jsonl and, when it
// is there, config.json of the folder; throws Error naming file and line when metrics.jsonl cannot be read.
FOVEA_API void write_report(const std::string& run_folder, const std::string& title, const Facts& facts);

// 4120321 as "4,120,321".
FOVEA_API std::string format_count(long long count);

}  // namespace fovea::train
