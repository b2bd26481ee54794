// "Did you mean ...?"
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fovea/core/export.h"

namespace fovea {

// The candidate with the smallest edit distance to `name`; empty when there is none or all are far from it.
FOVEA_API std::string nearest_name(std::string_view name, std::span<const std::string> candidates);

}  // namespace fovea
