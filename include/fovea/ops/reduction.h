// How a loss per row becomes the loss.
#pragma once

#include <cstdint>

namespace fovea::ops {

enum class Reduction : std::uint8_t { mean, sum, none };

}  // namespace fovea::ops
