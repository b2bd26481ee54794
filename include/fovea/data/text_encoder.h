// How a data loader turns text into tokens.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "fovea/core/export.h"

namespace fovea::data {

class FOVEA_API TextEncoder {
 public:
  virtual ~TextEncoder();

  // At least one token id: special tokens included, cut to the model's context. Called from several threads at once.
  virtual std::vector<std::int32_t> encode(std::string_view text) const = 0;
};

}  // namespace fovea::data
