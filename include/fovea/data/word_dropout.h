// Captions with words left out, against overfitting to them.
#pragma once

#include <string>
#include <string_view>

#include "fovea/core/export.h"
#include "fovea/core/rng.h"

namespace fovea::data {

// Leaves out every word (of those that spaces separate) with the given probability, but always keeps one, chosen at
// random; the rest is joined by single spaces. Random deletion of Wei and Zou, "EDA", 2019.
FOVEA_API std::string drop_words(std::string_view text, double probability, Rng& rng);

}  // namespace fovea::data
