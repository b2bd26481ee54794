// What text encoders ask of their input.
#pragma once

#include "fovea/tensor/packed.h"

namespace fovea::models {

// Throws Error unless `tokens` are i32 ids (T), the layout has T tokens, and no caption is empty.
FOVEA_API void check_packed_tokens(const Tensor& tokens, const PackedLayout& layout);

}  // namespace fovea::models
