// A run on one page.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "fovea/core/export.h"
#include "fovea/eval/retrieval_examples.h"

namespace fovea::train {

using Facts = std::vector<std::pair<std::string, std::string>>;  // label and value: "Parameters", "4,120,321"

// Writes `run_folder`/report.html: the facts, the latest scores of every split in both directions, curves of the
// training, the examples (when there are any) with their pictures, and the configuration. One file without scripts or
// references to others. Reads metrics.jsonl and, when it is there, config.json of the folder, and the pictures of the
// examples; one that cannot be read any more is named in its place. Where steps repeat (a run that was resumed), the
// later lines count. Throws Error naming file and line when metrics.jsonl cannot be read.
FOVEA_API void write_report(const std::string& run_folder, const std::string& title, const Facts& facts,
                            const eval::RetrievalExamples& examples = {});

// 4120321 as "4,120,321".
FOVEA_API std::string format_count(long long count);

}  // namespace fovea::train
