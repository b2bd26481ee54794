// Smaller learning rates for layers that are farther from the head.
#pragma once

#include <string_view>
#include <vector>

#include "fovea/nn/visit.h"

namespace fovea::optim {

// Multiplies the learning rate of every parameter whose path begins with `prefix` ("vision_model.") by decay^depth.
// The depth is counted from the head: 0 for what follows the tower's blocks (final norm, pooling), 1 for the last
// block, and one more for each block before it and for what comes before the blocks (Bao et al. 2022, BEiT; timm's
// layer_decay). A block is a part of the path `layers.N`, or `layerM.N` in ResNets. Throws Error unless decay is in (0,
// 1].
FOVEA_API void decay_layer_rates(const std::vector<nn::ParamEntry>& entries, std::string_view prefix, double decay);

}  // namespace fovea::optim
