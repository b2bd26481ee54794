// Files and encoders for the tests of this folder.
#pragma once

#include <string>
#include <vector>

#include "../support/error_of.h"
#include "../support/temp_folder.h"
#include "fovea/core/error.h"
#include "fovea/data/text_encoder.h"

namespace fovea::data {

using tests::TempFolder;

// One token per byte, after a token 256.
struct ByteEncoder : TextEncoder {
  std::vector<std::int32_t> encode(std::string_view text) const override {
    std::vector<std::int32_t> ids{256};
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
};

using tests::error_of;

}  // namespace fovea::data
