// Which samples a number that is not finite belongs to. Private to the sources.
#pragma once

#include <span>
#include <string>

#include "fovea/autograd/anomaly.h"
#include "fovea/train/task.h"

namespace fovea::train {

// "sample 17", where the tensor's rows tell the sample; otherwise those of the batches: "one of samples 3, 17, 5".
// `ctx` is that of the pass which gave it.
std::string samples_of(const Anomaly& anomaly, std::span<const data::Batch> batches, Task& task, nn::Ctx ctx);

}  // namespace fovea::train
